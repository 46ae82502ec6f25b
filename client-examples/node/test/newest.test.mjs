import assert from 'node:assert/strict';
import test from 'node:test';

import { keepNewest } from '../dist/talksy/newest.js';
import { Place } from '../dist/talksy/resuming.js';

const message = (changeSeq, text, rest) => ({ id: 'msg_1', changeSeq, text, ...rest });

test('an answer that was read before an edit does not undo it', () => {
  const newest = keepNewest();
  newest({ accountEvents: { message: message(2, 'edited twice') } });
  const late = { chat: { messages: { nodes: [message(1, 'edited once', { seq: 7 })] } } };
  assert.deepEqual(newest(late), {
    chat: { messages: { nodes: [message(2, 'edited twice', { seq: 7 })] } },
  });
  assert.deepEqual(newest(message(3, 'and again')), message(3, 'and again'));
});

test('what is no message stays as it is', () => {
  const newest = keepNewest();
  newest(message(5, 'known'));
  const data = { a: [null, 1, 'x', { changeSeq: 1 }, { id: 'msg_1' }], b: undefined };
  assert.deepEqual(newest(data), data);
  assert.deepEqual(newest(null), null);
});

test('a place begins where the client says and forgets what a checkpoint stands for', () => {
  const place = new Place({ checkpoint: 'c1', since: ['s1'] });
  const event = (fields) => place.advance({ accountEvents: fields });
  assert.deepEqual(place.after, { checkpoint: 'c1', since: ['s1'] });
  event({ __typename: 'MessageAdded', cursor: 's2', message: { chat: { id: 'cht_1' } } });
  event({ __typename: 'ChatReset', cursor: 's3', chatId: 'cht_1' });
  event({ __typename: 'ReceiptChanged', cursor: 's4', receipt: { chat: { id: 'cht_2' } } });
  event({ __typename: 'ViewerChanged', cursor: 's5', viewer: {} });
  assert.deepEqual(place.after, { checkpoint: 'c1', since: ['s1', 's3', 's4'] });
  event({ __typename: 'AccountCheckpoint', cursor: 'c2' });
  assert.deepEqual(place.after, { checkpoint: 'c2', since: [] });
});

test('a subscription that cannot resume says so', () => {
  const place = new Place('from here');
  assert.throws(() => place.advance({ messageAdded: { node: {} } }), /Select `cursor`/);
  place.advance({ typingChanged: { isTyping: true } });
  assert.equal(place.after, 'from here');
});
