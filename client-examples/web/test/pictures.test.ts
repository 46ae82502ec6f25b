import { expect, test } from 'vitest';

import { Pictures } from '../src/files/pictures.js';
import { ReadMarks } from '../src/outbox/read-marks.js';
import type { Attachment } from '../src/replica/database.js';
import { Refused } from '../src/talksy/refused.js';

const START = Date.parse('2026-01-01T00:00:00Z');
const HOUR = 3_600_000;

const attachment = (id: string, url: string, expiresAt: number): Attachment => ({
  ...{ id, kind: 'IMAGE', fileName: 'a.jpg', contentType: 'image/jpeg', byteSize: 1, width: 1, height: 1 },
  ...{ url, thumbnailUrl: null, urlExpiresAt: new Date(expiresAt).toISOString() },
});

const rest = () => new Promise((resolve) => setTimeout(resolve, 40));

test('pictures that are wanted together are asked for together, once, and again when they are old', async () => {
  let clock = START;
  const asked: (readonly string[])[] = [];
  const pictures = new Pictures(
    async (ids) => {
      asked.push(ids);
      return new Map(ids.map((id) => [id, id === 'usr_b' ? null : attachment(`att_${id}`, `/${asked.length}`, clock + HOUR)]));
    },
    () => clock,
  );
  for (const id of ['usr_a', 'usr_b', 'usr_a']) pictures.want(id);
  await rest();
  pictures.want('usr_a');
  pictures.want('usr_b');
  await rest();
  expect(asked).toEqual([['usr_a', 'usr_b']]);
  expect(pictures.get('usr_a')?.url).toBe('/1');
  expect(pictures.get('usr_b')).toBeNull();
  clock += 2 * HOUR;
  pictures.want('usr_a');
  await rest();
  expect(pictures.get('usr_a')?.url).toBe('/2');
});

test('an image that is shown keeps its URL while that is good', () => {
  let clock = START;
  const pictures = new Pictures(async () => new Map(), () => clock);
  pictures.offer(attachment('att_a', '/old', START + HOUR));
  pictures.offer(attachment('att_a', '/new', START + 2 * HOUR));
  expect(pictures.get('att_a')?.url).toBe('/old');
  clock += HOUR;
  pictures.offer(attachment('att_a', '/new', START + 2 * HOUR));
  expect(pictures.get('att_a')?.url).toBe('/new');
});

test('of many marks the last is told, also where the first tries are lost', async () => {
  const told: number[] = [];
  let tries = 0;
  const closing = new AbortController();
  const marks = new ReadMarks(
    async (_chatId, seq) => {
      tries += 1;
      if (tries < 3) throw new TypeError('There is no network.');
      told.push(seq);
    },
    closing.signal,
    () => new Promise((resolve) => setTimeout(resolve, 5)),
  );
  for (const seq of [1, 2, 5, 4]) marks.mark('cht_a', seq);
  await rest();
  expect(told).toEqual([5]);
  // What is refused for good is not told for ever.
  const refusing = new ReadMarks(
    async () => {
      tries += 1;
      throw new Refused({ message: 'No.', extensions: { code: 'FORBIDDEN' } });
    },
    closing.signal,
  );
  tries = 0;
  refusing.mark('cht_a', 1);
  await rest();
  expect(tries).toBe(1);
});
