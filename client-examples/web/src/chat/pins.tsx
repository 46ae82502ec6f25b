// The pinned messages of a chat.
import { useEffect, useState } from 'react';
import { Button } from 'react-aria-components';

import { previewOf } from './preview.js';
import { PinnedMessagesDocument, type MessageStateFragment } from '../generated/graphql.js';
import { Icon, IconButton, Name, Sheet, countOf, dayOf, useAccount } from '../ui/parts.js';

/** The pinned messages, newest pin first; loaded when the chat is opened and when a pin has changed. */
export function usePins(chatId: string): readonly MessageStateFragment[] {
  const { connection, replica, changes } = useAccount();
  const [pins, setPins] = useState<readonly MessageStateFragment[]>([]);
  useEffect(() => {
    let isOver = false;
    let known: ReadonlySet<number> = new Set();
    let last = 0;
    const load = async () => {
      const turn = (last += 1);
      const { chat } = await connection.query(PinnedMessagesDocument, { chatId });
      if (isOver || turn !== last || !chat) return;
      known = new Set(chat.pinnedMessages.nodes.map(({ seq }) => seq));
      setPins(chat.pinnedMessages.nodes);
    };
    const again = () => void load().catch(() => {});
    again();
    addEventListener('online', again);
    const look = async (seqs: readonly number[]) => {
      const messages = await Promise.all(seqs.slice(0, 200).map((seq) => replica.database.get('messages', [chatId, seq])));
      const isOther = messages.some(
        (message) => message && (message.isPinned !== known.has(message.seq) || (message.isPinned && message.changeSeq > 0)),
      );
      if (isOther && !isOver) again();
    };
    const stop = changes.listen(({ messages = [] }) => {
      const seqs = messages.find(([id]) => id === chatId)?.[1];
      if (seqs) look(seqs).catch(() => {});
    });
    return () => {
      isOver = true;
      stop();
      removeEventListener('online', again);
    };
  }, [connection, replica, changes, chatId]);
  return pins;
}

interface PinsProps {
  readonly pins: readonly MessageStateFragment[];
  readonly mayPin: boolean;
  readonly onJump: (message: MessageStateFragment) => void;
  readonly onUnpin: (message: MessageStateFragment) => void;
}

export function Pins({ pins, mayPin, onJump, onUnpin }: PinsProps) {
  const { userId } = useAccount();
  const [isOpen, setOpen] = useState(false);
  if (pins.length === 0 && !isOpen) return null;
  return (
    <>
      <Button
        className="icon-button pins-button"
        aria-label={`${pins.length} pinned ${pins.length === 1 ? 'message' : 'messages'}`}
        onPress={() => setOpen(true)}
      >
        <Icon name="pin" />
        <span className="count-mark">{countOf(pins.length)}</span>
      </Button>
      <Sheet title="Pinned messages" isOpen={isOpen} onClose={() => setOpen(false)}>
        {pins.length === 0 && <p className="quiet">Nothing is pinned any more.</p>}
        <ul className="results">
          {pins.map((message) => (
            <li key={message.id}>
              <Button
                className="result"
                onPress={() => {
                  setOpen(false);
                  onJump(message);
                }}
              >
                <span className="line">
                  <Name of={message.sender} />
                  <time dateTime={message.createdAt}>{dayOf(message.createdAt)}</time>
                </span>
                <bdi>{previewOf(message, userId).slice(0, 300)}</bdi>
              </Button>
              {mayPin && <IconButton icon="close" label="Unpin" onPress={() => onUnpin(message)} />}
            </li>
          ))}
        </ul>
      </Sheet>
    </>
  );
}
