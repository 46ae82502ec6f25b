import { expect, test } from 'vitest';

import { partsOf } from '../src/chat/links.js';
import { matching, mentionedIn, piecesOf, wordAt } from '../src/chat/mentions.js';
import { noticeOf } from '../src/chat/notice.js';
import { newFrom, readByAll } from '../src/chat/reading.js';
import { previewOf } from '../src/chat/preview.js';
import { bytesOf, sizeIn } from '../src/files/prepare.js';
import { digitsOf } from '../src/session/code-boxes.js';
import { mixesAlphabets, shownFile, shownName } from '../src/ui/names.js';
import { dayOf, shortTimeOf } from '../src/ui/parts.js';
import { sentenceOf, sentenceOfCode } from '../src/ui/sentences.js';
import { Refused } from '../src/talksy/refused.js';

const linksIn = (text: string) => partsOf(text).flatMap(({ href }) => href ?? []);

test('addresses of the web are links, and nothing else is', () => {
  expect(linksIn('See https://example.org/a?b=1, and (http://example.com/x_(y)).')).toEqual([
    'https://example.org/a?b=1',
    'http://example.com/x_(y)',
  ]);
  for (const text of [
    'javascript:alert(1)',
    'data:text/html,<b>',
    'https://',
    'https://bank.example@evil.example/',
    '<a href="x">y</a>',
  ]) {
    expect(linksIn(text)).toEqual([]);
  }
});

test('the parts of a text are the text', () => {
  for (const text of ['', 'plain', 'https://a.example', 'a https://a.example. b\nhttp://b.example!']) {
    expect(partsOf(text).map((part) => part.text).join('')).toBe(text);
  }
});

test('an address ends where the direction of the text is turned', () => {
  expect(linksIn('https://example.org/\u202egnp.exe')).toEqual(['https://example.org/']);
});

test('a pasted code is its digits, with whatever stands around them', () => {
  expect(digitsOf('Your code: 123 456\n')).toBe('123456');
  expect(digitsOf('１２３４５６')).toBe('123456');
});

test('a name in a notice keeps its direction to itself', () => {
  const user = (id: string, name: string) => ({ id, name });
  const notice = {
    kind: 'MEMBER_ADDED' as const,
    title: null,
    role: null,
    actor: user('usr_a', '\u202eevil'),
    subjects: [user('usr_me', 'Me')],
  };
  expect(noticeOf(notice, 'usr_me')).toBe('\u2068evil\u2069 added you');
});

test('a code that is not known has a sentence too', () => {
  expect(sentenceOfCode('OF_A_NEWER_SERVER')).toBe(sentenceOfCode('INTERNAL'));
  const limited = new Refused({ message: 'x', extensions: { code: 'RATE_LIMITED', retryAfter: 300 } });
  expect(sentenceOf(limited)).toContain('5 minutes');
  expect(sentenceOf(new TypeError('fetch failed'))).toContain('no connection');
});

test('an address of doubtful letters shows its host as it is, and an honest one stays', () => {
  const shown = (text: string) => partsOf(text).map((part) => part.text).join('');
  // A Cyrillic “а” among Latin letters, and a host of Cyrillic letters that all look like Latin ones.
  expect(shown('https://p\u0430ypal.com/x')).toBe('https://xn--pypal-4ve.com/x');
  expect(shown('https://\u0440\u0430\u0443.example/')).toContain('xn--');
  expect(shown('https://b\u00fccher.example/')).toBe('https://b\u00fccher.example/');
  expect(shown('https://\u043f\u043e\u0447\u0442\u0430.example/')).toBe('https://\u043f\u043e\u0447\u0442\u0430.example/');
});

test('a name is shown without what is not seen, and joiners stay where they join', () => {
  expect(shownName('A\u200bda')).toBe('Ada');
  expect(shownName('\u202eadA')).toBe('adA');
  expect(shownName('A\u200dda')).toBe('Ada');
  expect(shownName(' \u3164 ')).toBe('Somebody');
  const family = '\ud83d\udc69\u200d\ud83d\udc67';
  expect(shownName(family)).toBe(family);
  expect(shownName('\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645')).toContain('\u200c');
  expect(shownFile('photo\u202egpj.exe')).toBe('photogpj.exe');
});

test('a text mentions whom it names, the longer name first', () => {
  const people = [
    { id: 'usr_ann', name: 'Ann' },
    { id: 'usr_annlee', name: 'Ann Lee' },
    { id: 'usr_bob', name: 'Bob' },
  ];
  expect(mentionedIn('Hi @Ann Lee!', people)).toEqual(['usr_annlee']);
  expect(mentionedIn('@Ann and @Ann Lee', people).sort()).toEqual(['usr_ann', 'usr_annlee']);
  expect(mentionedIn('Ann', people)).toEqual([]);
  const pieces = piecesOf('See @Ann Lee, @Bob', people);
  expect(pieces.map(({ text }) => text)).toEqual(['See ', '@Ann Lee', ', ', '@Bob']);
  expect(pieces.map(({ person }) => person?.id ?? null)).toEqual([null, 'usr_annlee', null, 'usr_bob']);
});

test('a word behind an @ is completed where it begins a word, and an address is not', () => {
  expect(wordAt('Hi @gr', 6)).toEqual({ word: 'gr', from: 3 });
  expect(wordAt('@', 1)).toEqual({ word: '', from: 0 });
  expect(wordAt('ada@example', 11)).toBeNull();
  expect(wordAt('@gr and', 3)).toEqual({ word: 'gr', from: 0 });
  const people = [
    { id: '1', name: 'Grace Hopper' },
    { id: '2', name: 'Ada' },
  ];
  expect(matching(people, 'hop').map(({ id }) => id)).toEqual(['1']);
});

test('an image has its place before it has come', () => {
  expect(sizeIn(4000, 3000, { width: 360, height: 320 })).toEqual({ width: 360, height: 270 });
  expect(sizeIn(100, 50, { width: 360, height: 320 })).toEqual({ width: 100, height: 50 });
  expect(sizeIn(null, null, { width: 360, height: 320 })).toEqual({ width: 360, height: 320 });
  expect(bytesOf(1_500_000)).toBe('1.4 MB');
  expect(bytesOf(999)).toBe('999 bytes');
});

test('a message in a line says what it has', () => {
  const file = { kind: 'FILE', fileName: 'a.pdf' };
  const image = { kind: 'IMAGE', fileName: 'a.jpg' };
  const of = (attachments: (typeof file)[], text: string | null = null) =>
    previewOf({ text, deletedAt: null, attachments }, 'usr_me');
  expect(of([image])).toBe('📷 Photo');
  expect(of([image, image], 'Look')).toBe('📷 2 photos · Look');
  expect(of([file])).toBe('📎 \u2068a.pdf\u2069');
  expect(of([], 'Hi')).toBe('Hi');
});

test('a name is marked where one of its words mixes letters that look alike', () => {
  // The Cyrillic а and е, the Greek ο and Α, the fullwidth Ａ beside a Cyrillic а.
  for (const name of ['\u0410da', 'Gr\u0430ce Hopper', 'Grace H\u03bfpper', '\u0391lan', '\uff21d\u0430']) {
    expect(mixesAlphabets(name), name).toBe(true);
  }
  for (const name of ['Ada Lovelace', 'José Ñandú', 'Анна', 'Анна Smith', 'Αλέξης', '山田 Taro', '山田taro', 'Zoë-Мария', 'R2-D2', '']) {
    expect(mixesAlphabets(name), name).toBe(false);
  }
});

test('a message of a group is read by all when the last member has read it, whoever that is', () => {
  const reader = (id: string, lastReadSeq: number) => ({ lastReadSeq, user: { id } });
  const at = '2026-01-01T00:00:00Z';
  const group = { kind: 'GROUP' as const, readByAllSeq: 2, memberCount: 3, peer: null };
  const members = [reader('me', 9), reader('a', 5), reader('b', 2)];
  expect(readByAll({ ...group, reads: {} }, members, 'me')).toBe(2);
  expect(readByAll({ ...group, reads: { b: { seq: 4, at } } }, members, 'me')).toBe(4);
  expect(readByAll({ ...group, reads: { b: { seq: 7, at } } }, members, 'me')).toBe(5);
  expect(readByAll({ ...group, reads: { a: { seq: 8, at }, b: { seq: 7, at } } }, members, 'me')).toBe(7);
  // It is not told for who was alone when the chat was told, and of a large group.
  expect(readByAll({ ...group, readByAllSeq: null, reads: { b: { seq: 7, at } } }, members, 'me')).toBe(5);
  // Who is not known yet may have read less.
  expect(readByAll({ ...group, memberCount: 4, reads: { b: { seq: 7, at } } }, members, 'me')).toBe(2);
  const direct = { kind: 'DIRECT' as const, readByAllSeq: 1, memberCount: 2, peer: { id: 'a', name: 'A' } };
  expect(readByAll({ ...direct, reads: { a: { seq: 3, at } } }, [], 'me')).toBe(3);
});

test('what is new begins with what somebody else has said', () => {
  const messages = ['me', 'me', 'a', 'me', null].map((id, at) => ({ seq: at + 1, sender: id === null ? null : { id } }));
  expect(newFrom(messages, 1, 'me')).toBe(3);
  expect(newFrom(messages, 4, 'me')).toBe(5);
  // Marked as unread by the viewer, from their own message on.
  expect(newFrom(messages.slice(0, 2), 2, 'me')).toBe(2);
  expect(newFrom(messages, Number.MAX_SAFE_INTEGER, 'me')).toBeUndefined();
});

test('a day of another year says which', () => {
  const year = new Date().getFullYear();
  for (const [at, isSaid] of [
    [new Date(year, 0, 1, 12), false],
    [new Date(year - 1, 11, 31, 12), true],
  ] as const) {
    expect(dayOf(at.toISOString()).includes(`${at.getFullYear()}`)).toBe(isSaid);
    expect(shortTimeOf(at.toISOString()).includes(`${at.getFullYear()}`)).toBe(isSaid);
  }
});
