import { beforeEach, expect, test, vi } from 'vitest';

import { KeptText, forgetTexts, isGone } from '../src/chat/kept-text.js';
import type { Chat, Message } from '../src/replica/database.js';
import { Model, randomOf } from './model.js';

const model = new Model(randomOf(1), 0);
model.start('cht_a');
const messageOf = (text: string): Message => ({ ...model.add('cht_a', text), chatId: 'cht_a' });
const [asked, mine] = [messageOf('When?'), messageOf('At noon')];

/** What a browser keeps; a reload begins with it. */
const kept = new Map<string, string>();

beforeEach(() => {
  kept.clear();
});
vi.stubGlobal(
  'localStorage',
  new Proxy(
    {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
      removeItem: (key: string) => void kept.delete(key),
    },
    { ownKeys: () => [...kept.keys()], getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }) },
  ),
);

test('what is replied to is kept for its chat and its user, until it is sent or taken back', () => {
  const text = new KeptText('usr_ada', 'cht_a');
  expect(text.draft).toBeNull();
  text.reply = asked;
  expect(new KeptText('usr_ada', 'cht_a').draft).toEqual({ kind: 'reply', message: asked });
  expect(new KeptText('usr_ada', 'cht_b').draft).toBeNull();
  expect(new KeptText('usr_grace', 'cht_a').draft).toBeNull();
  text.reply = null;
  expect(new KeptText('usr_ada', 'cht_a').draft).toBeNull();
  expect(kept.size).toBe(0);
});

test('an edit comes ahead of the reply that is being written, and leaves it as it was', () => {
  const text = new KeptText('usr_ada', 'cht_a');
  text.message = 'At no';
  text.reply = asked;
  text.edit = { message: mine, text: 'At one' };
  expect(new KeptText('usr_ada', 'cht_a').draft).toEqual({ kind: 'edit', message: mine });
  text.edit = null;
  expect(new KeptText('usr_ada', 'cht_a').draft).toEqual({ kind: 'reply', message: asked });
  expect(text.message).toBe('At no');
});

test('where the device is full, what was kept before does not stand for what is typed', () => {
  const text = new KeptText('usr_ada', 'cht_a');
  text.message = 'At no';
  const full = vi.spyOn(kept, 'set').mockImplementation(() => {
    throw new DOMException('The quota has been exceeded.', 'QuotaExceededError');
  });
  text.message = 'At noon, and much more';
  text.reply = asked;
  full.mockRestore();
  expect([text.message, text.draft]).toEqual(['', null]);
});

test('what is kept and cannot be read is none', () => {
  kept.set('talksy.draft.usr_ada.cht_a.reply', '{"id":');
  kept.set('talksy.draft.usr_ada.cht_a.edit', '{');
  expect(new KeptText('usr_ada', 'cht_a').draft).toBeNull();
});

test('a message that was deleted or cannot be read any more is replied to no more', () => {
  const state = model.stateOf('cht_a');
  const chat: Chat = { ...state, lastMessage: null, headSeq: 2, reads: {}, epoch: 0, isStale: false };
  const from = (visibleFromSeq: number): Chat => ({
    ...chat,
    viewerMember: { ...state.viewerMember!, visibleFromSeq },
  });
  expect(isGone(mine, chat)).toBe(false);
  expect(isGone({ ...mine, deletedAt: mine.createdAt }, chat)).toBe(true);
  expect(isGone(mine, from(mine.seq))).toBe(false);
  expect(isGone(mine, from(mine.seq + 1))).toBe(true);
  expect(isGone(mine, { ...chat, viewerMember: null })).toBe(false);
});

test('what is typed in a chat that is not there any more is forgotten, and nothing else is', () => {
  const [here, left, other] = [
    new KeptText('usr_ada', 'cht_a'),
    new KeptText('usr_ada', 'cht_ab'),
    new KeptText('usr_grace', 'cht_ab'),
  ];
  for (const text of [here, left, other]) {
    text.message = 'typed';
    text.reply = asked;
    text.edit = { message: mine, text: 'edited' };
  }
  kept.set('talksy.session', 'theirs');
  forgetTexts('usr_ada', new Set(['cht_a']));
  expect([here.message, left.message, other.message]).toEqual(['typed', '', 'typed']);
  expect([here.draft?.kind, left.draft, other.draft?.kind]).toEqual(['edit', null, 'edit']);
  expect(left.reply).toBeNull();
  // Signing out takes all of it.
  forgetTexts('usr_ada');
  expect([...kept.keys()].filter((key) => key.includes('usr_ada'))).toEqual([]);
  expect(kept.get('talksy.session')).toBe('theirs');
  expect(other.message).toBe('typed');
});
