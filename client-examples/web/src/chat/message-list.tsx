// The messages of a chat: only what is seen is in the page. Older ones are added above without a jump, and
// new ones below without taking the reader away.
import { useCallback, useEffect, useImperativeHandle, useLayoutEffect, useRef, useState, type Ref } from 'react';
import { Button } from 'react-aria-components';
import { VList, type VListHandle } from 'virtua';

import { MessageRow, PendingRow, type Actions } from './message-row.js';
import type { Chat, Message, Pending } from '../replica/database.js';
import type { ThreadState } from '../replica/thread.js';
import { Icon, useAccount } from '../ui/parts.js';

export interface ListHandle {
  /** Shows a message, loading what lies before it. */
  jump(seq: number): void;
  toEnd(): void;
}

interface MessageListProps {
  readonly ref: Ref<ListHandle>;
  readonly chat: Chat;
  readonly state: ThreadState;
  readonly pending: readonly Pending[];
  readonly mayModerate: boolean;
  readonly actions: Actions;
  readonly onOlder: () => Promise<void>;
  readonly onSeen: (seq: number) => void;
  readonly onRetry: (clientMessageId: string) => void;
  readonly onDiscard: (clientMessageId: string) => void;
}

type Row = { readonly message: Message; readonly before: Message | undefined } | { readonly pending: Pending };

/** Pixels from an end at which the reader counts as being there. */
const NEAR = 40;
const OLDER = 600;
const MINUTES_5 = 300_000;
const TO_END = { display: 'flex', flexDirection: 'column' } as const;

export function MessageList(props: MessageListProps) {
  const { ref, chat, state, pending, mayModerate, actions, onOlder, onSeen, onRetry, onDiscard } = props;
  const { messages, hasOlder, isLoading } = state;
  const { userId } = useAccount();
  const list = useRef<VListHandle>(null);
  const isAtEnd = useRef(true);
  const isPlaced = useRef(false);
  const [isEndShown, setEndShown] = useState(true);
  // What was unread when the chat was opened stays marked.
  const [firstUnread] = useState(() =>
    chat.unreadCount > 0 ? (chat.viewerMember?.lastReadSeq ?? 0) + 1 : Number.MAX_SAFE_INTEGER,
  );
  const first = messages[0]?.seq ?? 0;
  const lastFirst = useRef(first);
  const isShifted = lastFirst.current > first && first > 0;
  const last = messages.at(-1);

  const rows: Row[] = [
    ...messages.map((message, at) => ({ message, before: messages[at - 1] })),
    ...pending.map((one) => ({ pending: one })),
  ];
  const count = rows.length;

  const toEnd = useCallback(() => {
    isAtEnd.current = true;
    setEndShown(true);
    list.current?.scrollToIndex(Number.MAX_SAFE_INTEGER, { align: 'end' });
  }, []);

  useLayoutEffect(() => {
    lastFirst.current = first;
  }, [first]);

  useLayoutEffect(() => {
    if (count === 0) return;
    if (!isPlaced.current) {
      isPlaced.current = true;
      const at = messages.findIndex(({ seq }) => seq >= firstUnread);
      if (at > 0) {
        isAtEnd.current = false;
        list.current?.scrollToIndex(at, { align: 'center' });
        return;
      }
    }
    if (isAtEnd.current) list.current?.scrollToIndex(count - 1, { align: 'end' });
  }, [count, last?.seq, messages, firstUnread]);

  const older = useCallback(() => {
    // Without a network the next scroll tries again.
    if (hasOlder && !isLoading) onOlder().catch(() => {});
  }, [hasOlder, isLoading, onOlder]);

  const lastSeq = last?.seq ?? 0;
  const see = useCallback(() => {
    const read = chat.viewerMember?.lastReadSeq ?? 0;
    if (document.visibilityState === 'visible' && isAtEnd.current && lastSeq > read) onSeen(lastSeq);
  }, [chat.viewerMember?.lastReadSeq, lastSeq, onSeen]);

  useEffect(() => {
    const timer = setTimeout(see, 150);
    document.addEventListener('visibilitychange', see);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', see);
    };
  }, [see]);

  function onScroll(offset: number) {
    const { current } = list;
    if (!current || !isPlaced.current) return;
    isAtEnd.current = offset + current.viewportSize >= current.scrollSize - NEAR;
    setEndShown(isAtEnd.current);
    if (isAtEnd.current) see();
    if (offset < OLDER) older();
  }

  // A first page that does not fill the screen cannot be scrolled.
  useEffect(() => {
    const { current } = list;
    if (current && current.scrollSize <= current.viewportSize) older();
  }, [count, older]);

  const now = useRef({ messages, hasOlder, onOlder });
  now.current = { messages, hasOlder, onOlder };
  useImperativeHandle(
    ref,
    () => ({
      toEnd,
      jump: async (seq) => {
        while (now.current.hasOlder && (now.current.messages[0]?.seq ?? 0) > seq) {
          const [before] = now.current.messages;
          await now.current.onOlder().catch(() => {});
          await new Promise(requestAnimationFrame);
          if (now.current.messages[0] === before) return;
        }
        const at = now.current.messages.findIndex((message) => message.seq === seq);
        if (at < 0) return;
        isAtEnd.current = false;
        list.current?.scrollToIndex(at, { align: 'center' });
        flash(seq);
      },
    }),
    [toEnd],
  );

  const drawn = (row: Row) => {
    if ('pending' in row) {
      const { clientMessageId } = row.pending;
      return (
        <PendingRow
          key={clientMessageId}
          pending={row.pending}
          onRetry={() => onRetry(clientMessageId)}
          onDiscard={() => onDiscard(clientMessageId)}
        />
      );
    }
    const { message, before } = row;
    const isFirstOfDay = !before || dateOf(before) !== dateOf(message);
    const isFirstUnread = message.seq === firstUnread;
    const isFollowing =
      !isFirstOfDay &&
      !isFirstUnread &&
      before.sender !== null &&
      before.sender.id === message.sender?.id &&
      Date.parse(message.createdAt) - Date.parse(before.createdAt) < MINUTES_5;
    const byPeer = chat.peer ? chat.reads[chat.peer.id] : undefined;
    const isReadByPeer = (byPeer?.seq ?? 0) >= message.seq;
    return (
      <MessageRow
        key={message.seq}
        message={message}
        viewerId={userId}
        isGroup={chat.kind === 'GROUP'}
        isFirstOfDay={isFirstOfDay}
        isFirstUnread={isFirstUnread}
        isFollowing={isFollowing}
        isRead={(chat.readByAllSeq ?? 0) >= message.seq || isReadByPeer}
        readAt={isReadByPeer ? (byPeer?.at ?? null) : null}
        mayModerate={mayModerate}
        actions={actions}
      />
    );
  };

  return (
    <div className="messages">
      {isLoading && count === 0 && <p className="quiet empty">Loading the chat …</p>}
      {!isLoading && count === 0 && <p className="quiet empty">Nothing was said yet. Say hello!</p>}
      {count > 0 && (
        <VList
          ref={list}
          className="scroller"
          // A short chat stands at the end, so that what is loaded above it moves nothing.
          style={TO_END}
          tabIndex={0}
          role="log"
          aria-label="Messages"
          aria-live="off"
          shift={isShifted}
          bufferSize={400}
          data={rows}
          onScroll={onScroll}
        >
          {drawn}
        </VList>
      )}
      <Heard last={last} viewerId={userId} />
      {!isEndShown && (
        <Button className="to-end" onPress={toEnd} aria-label="To the newest message">
          <Icon name="down" />
          {chat.unreadCount > 0 && <span className="badge">{chat.unreadCount > 99 ? '99+' : chat.unreadCount}</span>}
        </Button>
      )}
    </div>
  );
}

/** Tells screen readers what comes while the chat is open; a list that is drawn in parts cannot. */
function Heard({ last, viewerId }: { last: Message | undefined; viewerId: string }) {
  const [opened] = useState(() => Date.now());
  const isNew = last && last.sender?.id !== viewerId && Date.parse(last.createdAt) > opened;
  return (
    <p className="hidden" aria-live="polite">
      {isNew && last.sender ? `${last.sender.name}: ${last.text ?? ''}` : ''}
    </p>
  );
}

const dateOf = ({ createdAt }: Message) => new Date(createdAt).toDateString();

/** Shows for a moment where a jump has led. */
function flash(seq: number) {
  setTimeout(() => {
    const row = document.querySelector(`[data-seq="${seq}"]`);
    row?.classList.add('is-flashing');
    setTimeout(() => row?.classList.remove('is-flashing'), 1_500);
  }, 200);
}
