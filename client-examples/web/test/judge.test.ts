// The counter of the demo: what it says of a replica that was damaged on purpose.
import { expect, test } from 'vitest';

import { NONE, isFaultless, judge, sum } from '../src/demo/judge.js';

const message = (seq: number, change: Partial<{ changeSeq: number; text: string | null }> = {}) => ({
  id: `msg_${seq}`,
  seq,
  changeSeq: 0,
  text: `text ${seq}`,
  editedAt: null,
  deletedAt: null,
  isPinned: false,
  clientMessageId: `client ${seq}`,
  reactions: [],
  ...change,
});
const server = [1, 2, 3, 4, 5].map((seq) => message(seq));
const without = (seq: number) => server.filter((one) => one.seq !== seq);

test('a replica that is as the server has no fault, also where it has gone on', () => {
  const later = [...without(3), message(3, { changeSeq: 2, text: 'edited since' }), message(6)];
  later.sort((one, other) => one.seq - other.seq);
  for (const kept of [server, later]) {
    const difference = judge(server, kept);
    expect(isFaultless(difference)).toBe(true);
    expect(difference.compared).toBe(5);
  }
});

test('what is missing is lost', () => {
  expect(judge(server, without(2))).toMatchObject({ lost: 1, doubled: 0, disordered: 0, stale: 0 });
  expect(judge(server, [])).toMatchObject({ lost: 5 });
});

test('what is kept twice, or sent and pending, is doubled', () => {
  const twice = [...server, { ...message(2), seq: 9 }];
  expect(judge(server, twice)).toMatchObject({ lost: 0, doubled: 1, strange: 0 });
  expect(judge(server, server, ['client 4', 'client 7'])).toMatchObject({ doubled: 1 });
});

test('what stands at another place is out of order', () => {
  const swapped = [message(1), { ...message(3), seq: 2 }, { ...message(2), seq: 3 }, message(4), message(5)];
  expect(judge(server, swapped)).toMatchObject({ lost: 0, doubled: 0, disordered: 1 });
});

test('what has missed a change is out of date', () => {
  const edited = [...server.slice(0, 4), message(5, { changeSeq: 3, text: 'edited' })];
  expect(judge(edited, server)).toMatchObject({ stale: 1, lost: 0 });
  // The number of the change is not all: what it says counts too.
  expect(judge(server, [...without(5), message(5, { text: 'another' })])).toMatchObject({ stale: 1 });
});

test('what the server does not have is strange', () => {
  const foreign = [...server, { ...message(4), id: 'msg_other' }];
  expect(judge(server, foreign)).toMatchObject({ strange: 1, lost: 0, doubled: 0 });
});

test('the chats are added up', () => {
  const all = sum(judge(server, without(2)), judge(server, without(1)));
  expect(all).toEqual({ ...NONE, compared: 10, lost: 2 });
});
