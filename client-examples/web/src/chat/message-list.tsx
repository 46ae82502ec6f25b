// The messages of a chat: only what is seen is in the page. Older and newer ones are added without a jump,
// and what comes takes no reader away from where they are.
import {
  useCallback,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  type Ref,
} from 'react';
import { Button } from 'react-aria-components';
import { VList, type VListHandle } from 'virtua';

import { MessageRow, PendingRow, type Actions, type May } from './message-row.js';
import { previewOf } from './preview.js';
import { newFrom } from './reading.js';
import type { Chat, Message, Pending, Task } from '../replica/database.js';
import type { Target, ThreadState } from '../replica/thread.js';
import { Boundary } from '../ui/boundary.js';
import { shownName } from '../ui/names.js';
import { Icon, countOf, useAccount } from '../ui/parts.js';

export interface ListHandle {
  /** Shows a message, loading what lies around it; false where it is not there any more. */
  jump(target: Target): Promise<boolean>;
  toEnd(): void;
  /** The keyboard goes on in the list. */
  focus(): void;
}

interface MessageListProps {
  readonly ref: Ref<ListHandle>;
  readonly chat: Chat;
  /** All others have read up to here. */
  readonly readByAllSeq: number;
  readonly state: ThreadState;
  readonly pending: readonly Pending[];
  readonly tasks: readonly Task[];
  readonly may: May;
  readonly actions: Actions;
  readonly onOlder: () => Promise<void>;
  readonly onNewer: () => Promise<void>;
  /** Shows the part of the chat around a message, or the newest one. */
  readonly onPart: (target: Target | null) => Promise<boolean>;
  readonly onSeen: (seq: number) => void;
}

type Row = { readonly message: Message; readonly before: Message | undefined } | { readonly pending: Pending };

/** Pixels from an end at which the reader counts as being there. */
const NEAR = 40;
const MORE = 600;
const MINUTES_5 = 300_000;
const TO_END = { display: 'flex', flexDirection: 'column' } as const;

const isShort = ({ scrollSize, viewportSize }: VListHandle): boolean => scrollSize <= viewportSize;

/** From which message on a chat is unread; beyond all where nothing is. */
const unreadFrom = ({ unreadCount, viewerUnreadFromSeq, viewerMember }: Chat): number =>
  viewerUnreadFromSeq ?? (unreadCount > 0 ? (viewerMember?.lastReadSeq ?? 0) + 1 : Number.MAX_SAFE_INTEGER);

export function MessageList(props: MessageListProps) {
  const { ref, chat, state, pending, onPart } = props;
  const { userId } = useAccount();
  // What was unread when the chat was opened stays marked.
  const [firstUnread] = useState(() => unreadFrom(chat));
  const [isEndShown, setEndShown] = useState(true);
  const part = useRef<PartHandle>(null);
  const box = useRef<HTMLDivElement>(null);
  const last = state.messages.at(-1);
  const count = state.messages.length + (state.hasNewer ? 0 : pending.length);
  const isDetached = useRef(state.hasNewer);
  isDetached.current = state.hasNewer;

  const toEnd = useCallback(() => {
    if (isDetached.current) void onPart(null).catch(() => {});
    else part.current?.toEnd();
  }, [onPart]);

  const focus = useCallback(() => {
    box.current?.querySelector<HTMLElement>('.scroller')?.focus({ preventScroll: true });
  }, []);

  useImperativeHandle(
    ref,
    () => ({
      toEnd,
      focus,
      jump: async (target) => part.current?.show(target.seq) === true || onPart(target),
    }),
    [toEnd, focus, onPart],
  );

  const hadFocus = useRef(false);
  const onPartShown = useCallback(() => {
    if (hadFocus.current) focus();
    hadFocus.current = false;
    return () => {
      hadFocus.current = box.current?.querySelector('.scroller')?.contains(document.activeElement) ?? false;
    };
  }, [focus]);

  return (
    <div ref={box} className="messages">
      {state.isLoading && count === 0 && <p className="quiet empty">Loading the chat …</p>}
      {!state.isLoading && count === 0 && <p className="quiet empty">Nothing was said yet. Say hello!</p>}
      {count > 0 && (
        <Part
          key={state.part}
          {...props}
          ref={part}
          firstUnread={firstUnread}
          onEndShown={setEndShown}
          onShown={onPartShown}
        />
      )}
      {!state.hasNewer && <Heard chat={chat} last={last} viewerId={userId} />}
      {(!isEndShown || state.hasNewer) && count > 0 && (
        <Button
          className="to-end"
          onPress={() => {
            // The button goes.
            focus();
            toEnd();
          }}
          aria-label="To the newest message"
        >
          <Icon name="down" />
          {chat.unreadCount > 0 && <span className="badge">{countOf(chat.unreadCount)}</span>}
        </Button>
      )}
    </div>
  );
}

interface PartHandle {
  /** Scrolls to a message; false where it is not in this part. */
  show(seq: number): boolean;
  toEnd(): void;
}

interface PartProps extends Omit<MessageListProps, 'ref' | 'onPart'> {
  readonly ref: Ref<PartHandle>;
  readonly firstUnread: number;
  readonly onEndShown: (isShown: boolean) => void;
  /** Called when this part is in the page; what it returns, when it goes. */
  readonly onShown: () => () => void;
}

/** One part of the chat. A jump to another one begins anew. */
function Part(props: PartProps) {
  const { ref, chat, readByAllSeq, state, pending, tasks, may, actions, firstUnread } = props;
  const { onOlder, onNewer, onSeen, onEndShown, onShown } = props;
  const { messages, hasOlder, hasNewer, isLoading, focus } = state;
  const { userId } = useAccount();
  const list = useRef<VListHandle>(null);
  // A part that takes the place of another takes the focus, too.
  useLayoutEffect(onShown, [onShown]);
  const isAtEnd = useRef(focus === null);
  const isPlaced = useRef(false);
  const [isPatient, setPatient] = useState(true);
  useEffect(() => {
    const timer = setTimeout(() => setPatient(false), 3_000);
    return () => clearTimeout(timer);
  }, []);
  const [opened] = useState(chat.viewerUnreadFromSeq);
  const unmarked = useRef(opened);
  const first = messages[0]?.seq ?? 0;
  const lastFirst = useRef(first);
  const isShifted = lastFirst.current > first && first > 0;
  const last = messages.at(-1);
  const lastSeq = last?.seq ?? 0;

  const rows = useMemo<Row[]>(
    () => [
      ...messages.map((message, at) => ({ message, before: messages[at - 1] })),
      ...(hasNewer ? [] : pending).map((one) => ({ pending: one })),
    ],
    [messages, hasNewer, pending],
  );
  // One's own are not new, though the mark stands before them.
  const newSeq = useMemo(
    () => (first > firstUnread ? undefined : newFrom(messages, firstUnread, userId)),
    [messages, first, firstUnread, userId],
  );
  const bySeq = useMemo(() => new Map(tasks.map((task) => [task.seq, task])), [tasks]);
  const count = rows.length;
  const now = useRef({ messages, rows, count });
  now.current = { messages, rows, count };

  const placeAt = useCallback((seq: number, isFlashing: boolean): boolean => {
    const at = now.current.messages.findIndex((message) => message.seq === seq);
    if (at < 0) return false;
    isAtEnd.current = false;
    list.current?.scrollToIndex(at, { align: 'center' });
    if (isFlashing) flash(seq);
    return true;
  }, []);

  const toEnd = useCallback(() => {
    isAtEnd.current = true;
    onEndShown(true);
    list.current?.scrollToIndex(Math.max(0, now.current.count - 1), { align: 'end' });
  }, [onEndShown]);

  useLayoutEffect(() => {
    lastFirst.current = first;
  }, [first]);

  useLayoutEffect(() => {
    if (count === 0) return;
    if (!isPlaced.current) {
      // The first unread message is on its way: until then nothing counts as seen.
      if (isPatient && focus === null && hasOlder && first > firstUnread) {
        list.current?.scrollToIndex(count - 1, { align: 'end' });
        return;
      }
      isPlaced.current = true;
      if (focus !== null && placeAt(focus, focus !== firstUnread)) return;
      const at = messages.findIndex(({ seq }) => seq >= firstUnread);
      if (focus === null && at > 0) {
        isAtEnd.current = false;
        list.current?.scrollToIndex(at, { align: 'center' });
        return;
      }
    }
    if (!isAtEnd.current || hasNewer) return;
    list.current?.scrollToIndex(count - 1, { align: 'end' });
    // Where it stands there already, nothing scrolls.
    onEndShown(true);
  }, [count, first, lastSeq, messages, firstUnread, focus, hasNewer, hasOlder, isPatient, placeAt, onEndShown]);

  const older = useCallback(() => {
    // Without a network the next scroll tries again.
    if (hasOlder && !isLoading) onOlder().catch(() => {});
  }, [hasOlder, isLoading, onOlder]);
  const newer = useCallback(() => {
    if (hasNewer) onNewer().catch(() => {});
  }, [hasNewer, onNewer]);

  /** The number of the last message that is wholly in sight. */
  const seenSeq = useCallback(() => {
    const { current } = list;
    if (!current || !isPlaced.current) return 0;
    // A chat that fits into the screen is seen to its end, wherever it was opened; it cannot be scrolled there.
    if ((isAtEnd.current || isShort(current)) && !hasNewer) return lastSeq;
    const at = current.findItemIndex(current.scrollOffset + current.viewportSize - 4) - 1;
    const row = now.current.rows[Math.min(at, now.current.count - 1)];
    return row && 'message' in row ? row.message.seq : row ? lastSeq : 0;
  }, [hasNewer, lastSeq]);

  const read = chat.viewerMember?.lastReadSeq ?? 0;
  const seeing = useRef<ReturnType<typeof setTimeout>>(undefined);
  const see = useCallback(() => {
    clearTimeout(seeing.current);
    seeing.current = setTimeout(() => {
      if (document.visibilityState !== 'visible') return;
      const seq = seenSeq();
      // A chat that was marked as unread is read when it is opened again, and not where it is open.
      const isMarked = unmarked.current !== null;
      if (seq <= read && !(isMarked && seq > 0)) return;
      unmarked.current = null;
      onSeen(Math.max(seq, read));
    }, 250);
  }, [seenSeq, read, onSeen]);

  useEffect(() => {
    see();
    document.addEventListener('visibilitychange', see);
    return () => {
      clearTimeout(seeing.current);
      document.removeEventListener('visibilitychange', see);
    };
  }, [see, isPatient]);

  function onScroll(offset: number) {
    const { current } = list;
    if (!current || !isPlaced.current) return;
    isAtEnd.current = !hasNewer && offset + current.viewportSize >= current.scrollSize - NEAR;
    onEndShown(isAtEnd.current);
    see();
    if (offset < MORE) older();
    if (offset + current.viewportSize > current.scrollSize - MORE) newer();
  }

  // The composer grows, a keyboard opens, an image has another size: the end stays in sight.
  function onResize() {
    if (isPlaced.current && !hasNewer && list.current && isShort(list.current)) {
      isAtEnd.current = true;
      onEndShown(true);
    }
    if (isPlaced.current && isAtEnd.current && !hasNewer) {
      list.current?.scrollToIndex(Math.max(0, now.current.count - 1), { align: 'end' });
    }
  }

  // A first page that does not fill the screen cannot be scrolled.
  useEffect(() => {
    const { current } = list;
    if (!current || current.scrollSize > current.viewportSize + MORE) return;
    if (current.scrollSize <= current.viewportSize) older();
    newer();
  }, [count, older, newer]);

  useImperativeHandle(ref, () => ({ toEnd, show: (seq) => placeAt(seq, true) }), [toEnd, placeAt]);

  const drawn = (row: Row) => {
    if ('pending' in row) {
      const { clientMessageId, replyToId } = row.pending;
      return (
        <Boundary key={clientMessageId} what="This message" of={row.pending}>
          <PendingRow
            pending={row.pending}
            replyTo={messages.find(({ id }) => id === replyToId)}
            viewerId={userId}
            isGroup={chat.kind === 'GROUP'}
            actions={actions}
          />
        </Boundary>
      );
    }
    const { message, before } = row;
    const isFirstOfDay = !before || dateOf(before) !== dateOf(message);
    const isFirstUnread = message.seq === newSeq;
    const isFollowing =
      !isFirstOfDay &&
      !isFirstUnread &&
      before.sender !== null &&
      before.sender.id === message.sender?.id &&
      Date.parse(message.createdAt) - Date.parse(before.createdAt) < MINUTES_5;
    const byPeer = chat.peer ? chat.reads[chat.peer.id] : undefined;
    const isReadByPeer = (byPeer?.seq ?? 0) >= message.seq;
    return (
      <Boundary key={message.seq} what="This message" of={message}>
        <MessageRow
          message={message}
          viewerId={userId}
          isGroup={chat.kind === 'GROUP'}
          isFirstOfDay={isFirstOfDay}
          isFirstUnread={isFirstUnread}
          isFollowing={isFollowing}
          isRead={readByAllSeq >= message.seq}
          readAt={isReadByPeer ? (byPeer?.at ?? null) : null}
          may={may}
          task={bySeq.get(message.seq) ?? null}
          actions={actions}
        />
      </Boundary>
    );
  };

  return (
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
      onResize={onResize}
    >
      {drawn}
    </VList>
  );
}

/** Tells screen readers what comes while the chat is open; a list that is drawn in parts cannot. */
function Heard({ chat, last, viewerId }: { chat: Chat; last: Message | undefined; viewerId: string }) {
  // By its number: the device's clock may be another than the server's.
  const [opened] = useState(chat.lastSeq);
  const isNew = last && last.sender?.id !== viewerId && last.seq > opened;
  return (
    <p className="hidden" aria-live="polite">
      {isNew && last.sender ? `${shownName(last.sender.name)}: ${previewOf(last, viewerId)}` : ''}
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
