import { expect, test } from 'vitest';

import { partsOf } from '../src/chat/links.js';
import { noticeOf } from '../src/chat/notice.js';
import { digitsOf } from '../src/session/code-boxes.js';
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
  expect(noticeOf(notice, 'usr_me')).toBe('\u2068\u202eevil\u2069 added you');
});

test('a code that is not known has a sentence too', () => {
  expect(sentenceOfCode('OF_A_NEWER_SERVER')).toBe(sentenceOfCode('INTERNAL'));
  const limited = new Refused({ message: 'x', extensions: { code: 'RATE_LIMITED', retryAfter: 300 } });
  expect(sentenceOf(limited)).toContain('5 minutes');
  expect(sentenceOf(new TypeError('fetch failed'))).toContain('no connection');
});
