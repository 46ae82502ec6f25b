// A chat that is open: its head, its messages and what is being written.
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { Button } from 'react-aria-components';

import { ChatMenu } from './chat-menu.js';
import { Composer } from './composer.js';
import { KeptText, isGone, type Draft } from './kept-text.js';
import { MessageList, type ListHandle } from './message-list.js';
import type { Actions } from './message-row.js';
import { Pins, usePins } from './pins.js';
import { previewOf } from './preview.js';
import { readByAll } from './reading.js';
import { Face } from '../files/face.js';
import { MarkUnreadDocument, MembersDocument, type MembersQuery } from '../generated/graphql.js';
import { GroupDetails } from '../group/group-details.js';
import { useOnline, useTyping } from '../live/live.js';
import { changed, pendingIn } from '../outbox/queue.js';
import type { Attachment, Chat, Member, Message } from '../replica/database.js';
import type { Target, Thread, ThreadState } from '../replica/thread.js';
import { useFeature } from '../session/features.js';
import { useBlocked } from '../settings/blocking.js';
import { MOMENT, later } from '../ui/later.js';
import { shownName } from '../ui/names.js';
import { IconButton, Name, Problem, Question, Sheet, useAccount, useAccountState } from '../ui/parts.js';
import { leaveChat, onJump, takeJump } from '../ui/route.js';
import { sentenceOf } from '../ui/sentences.js';

const Viewer = later(() => import('../files/viewer.js'));
const Report = later(() => import('../moderation/report.js'), MOMENT);
const Search = later(() => import('../search/search.js'), MOMENT);

const NOTHING: ThreadState = {
  messages: [],
  hasOlder: false,
  hasNewer: false,
  isLoading: true,
  part: 0,
  focus: null,
};
const nothing = () => NOTHING;
const never = () => () => {};
/** Where more is unread, the chat is opened at the first unread message, and not at the newest page. */
const MANY = 40;
/** Of a larger group not all members are loaded. */
const MOST_MEMBERS = 500;

/** The thread of a chat, as long as it is open. */
function useThread(chat: Chat) {
  const account = useAccount();
  const [thread, setThread] = useState<Thread | null>(null);
  const { id } = chat;
  // As it is when it is opened.
  const opened = useRef(chat);
  useEffect(() => {
    const { unreadCount, readCursor, viewerMember, viewerUnreadFromSeq } = opened.current;
    const made = account.thread(id);
    let isOver = false;
    const jump = takeJump(id);
    const isFar = unreadCount > MANY && viewerUnreadFromSeq === null;
    const at: Target | null =
      jump ?? (isFar ? { seq: (viewerMember?.lastReadSeq ?? 0) + 1, cursor: readCursor } : null);
    // Without a network, what is kept is shown; the rest comes when there is one.
    const open = () => void made.open().catch(() => {});
    if (at) {
      // Not before: what is shown at its end counts as read.
      const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 5_000));
      const found = Promise.race([made.jump(at), late]).catch(() => false);
      void found.then((isThere) => {
        if (!isThere) open();
        if (!isOver) setThread(made);
      });
    } else {
      setThread(made);
      open();
    }
    const onNetwork = () => made.snapshot().hasNewer || open();
    addEventListener('online', onNetwork);
    return () => {
      isOver = true;
      removeEventListener('online', onNetwork);
      made.close();
    };
  }, [account, id]);
  const state = useSyncExternalStore(thread?.subscribe ?? never, thread?.snapshot ?? nothing);
  return { thread, state };
}

/** Loads the members of a group when it is opened and when they have changed. */
function useMembers(chat: Chat, messages: readonly Message[]): readonly Member[] {
  const { connection, replica } = useAccount();
  const { members } = useAccountState();
  const lastNotice = messages.findLast(({ system }) => system)?.seq ?? 0;
  useEffect(() => {
    if (chat.kind !== 'GROUP') return;
    let isOver = false;
    void (async () => {
      const all: Member[] = [];
      for (let after: string | null = null; ; ) {
        const variables: { chatId: string; after: string | null } = { chatId: chat.id, after };
        const answer: MembersQuery = await connection.query(MembersDocument, variables);
        if (!answer.chat || isOver) return;
        all.push(...answer.chat.members.nodes);
        const { hasNextPage, endCursor } = answer.chat.members.pageInfo;
        if (!hasNextPage || all.length >= MOST_MEMBERS) break;
        after = endCursor;
      }
      await replica.keepMembers(chat.id, all);
    })().catch(() => {});
    return () => void (isOver = true);
  }, [connection, replica, chat.id, chat.kind, chat.memberCount, lastNotice]);
  return members.get(chat.id) ?? [];
}

/** What is being written to a message. It follows its message, which may be edited or deleted meanwhile. */
function useDraft(chat: Chat): [Draft | null, (draft: Draft | null) => void] {
  const { changes, replica, userId } = useAccount();
  const { id: chatId } = chat;
  const kept = useMemo(() => new KeptText(userId, chatId), [userId, chatId]);
  const [draft, setDraft] = useState(() => kept.draft);
  const seq = draft?.message.seq;
  useEffect(() => {
    if (seq === undefined) return;
    const read = async () => {
      const message = await replica.database.get('messages', [chatId, seq]);
      if (message) setDraft((draft) => (draft?.message.seq === seq ? { ...draft, message } : draft));
    };
    const follow = () => void read().catch(() => {});
    follow();
    return changes.listen(({ messages = [] }) => {
      if (messages.some(([id, seqs]) => id === chatId && seqs.includes(seq))) follow();
    });
  }, [changes, replica, chatId, seq]);

  // Without it, what is written is sent all the same.
  const isLost = draft?.kind === 'reply' && isGone(draft.message, chat);
  useEffect(() => {
    if (!isLost) return;
    kept.reply = null;
    setDraft(null);
  }, [isLost, kept]);
  return [draft, setDraft];
}

export function ChatPane({ chat }: { chat: Chat }) {
  const account = useAccount();
  const { connection, replica, queue, readMarks, userId } = account;
  const { outbox, tasks } = useAccountState();
  const { thread, state } = useThread(chat);
  const [draft, setDraft] = useDraft(chat);
  const [problem, setProblem] = useState<string | null>(null);
  const [isDetailsOpen, setDetailsOpen] = useState(false);
  const [isSearchOpen, setSearchOpen] = useState(false);
  const [imageId, setImageId] = useState<string | null>(null);
  const [reported, setReported] = useState<Message | null>(null);
  const [deleting, setDeleting] = useState<Message | null>(null);
  const list = useRef<ListHandle>(null);
  const typing = useTyping(chat.id);
  const online = useOnline();
  const members = useMembers(chat, state.messages);
  const pins = usePins(chat.id);
  const block = useBlocked(chat.peer?.id);
  const pending = useMemo(() => pendingIn(chat.id, outbox, state.messages), [chat.id, outbox, state.messages]);
  const waiting = useMemo(() => tasks.filter(({ chatId }) => chatId === chat.id), [tasks, chat.id]);
  const shown = useMemo(
    () => ({ ...state, messages: changed(state.messages, waiting) }),
    [state, waiting],
  );
  const role = chat.viewerMember?.role;
  const isGroup = chat.kind === 'GROUP';
  const isManager = role === 'OWNER' || role === 'ADMIN';
  const mayReport = useFeature('moderation');
  const mayPin = useFeature('pins') && (!isGroup || isManager);
  const may = useMemo(
    () => ({ moderate: isGroup && isManager, pin: mayPin, report: mayReport }),
    [isGroup, isManager, mayPin, mayReport],
  );

  const jump = useCallback(async (target: Target) => {
    setProblem(null);
    try {
      if (!(await list.current?.jump(target))) setProblem('This message is not there any more.');
    } catch (error) {
      setProblem(sentenceOf(error));
    }
  }, []);

  // A message that was found elsewhere, while this chat is open.
  useEffect(() => {
    if (!thread) return;
    return onJump(() => {
      const found = takeJump(chat.id);
      if (found) void jump(found);
    });
  }, [thread, chat.id, jump]);

  const unread = useCallback(
    async (fromSeq: number) => {
      try {
        const { markUnread } = await connection.mutate(MarkUnreadDocument, { chatId: chat.id, fromSeq });
        // Ahead of the mark: who opens the chat again has read it.
        await leaveChat();
        if (markUnread) await replica.keepChat(markUnread.chat);
      } catch (error) {
        setProblem(sentenceOf(error));
      }
    },
    [connection, replica, chat.id],
  );

  const actions = useMemo<Actions>(
    () => ({
      onReply: (message) => setDraft({ kind: 'reply', message }),
      onEdit: (message) => setDraft({ kind: 'edit', message }),
      onDelete: setDeleting,
      onReact: (message, emoji, isOn) => void queue.change(message, { kind: 'react', emoji, isOn }),
      onPin: (message, isOn) => void queue.change(message, { kind: 'pin', isOn }),
      onUnread: ({ seq }) => void unread(seq),
      onReport: setReported,
      onJump: (target) => void jump(target),
      onImage: ({ id }: Attachment) => setImageId(id),
      onRetry: (id) => void queue.retry(id),
      onDiscard: (id) => void queue.discard(id),
    }),
    [queue, unread, jump],
  );

  const onSeen = useCallback(
    (seq: number) => {
      void replica.showRead(chat.id, seq);
      readMarks.mark(chat.id, seq);
    },
    [replica, readMarks, chat.id],
  );

  const onPart = useCallback(
    async (target: Target | null) => {
      if (!thread) return false;
      if (target) return thread.jump(target);
      await thread.newest();
      return true;
    },
    [thread],
  );

  const editLast = () => {
    const last = shown.messages.findLast(({ sender, deletedAt }) => sender?.id === userId && !deletedAt);
    if (last) setDraft({ kind: 'edit', message: last });
  };

  // It is shown as the others are.
  const drafted = draft && { ...draft, message: changed([draft.message], waiting)[0] ?? draft.message };

  const setBlock = (isOn: boolean) => void block.set(isOn).catch((error: unknown) => setProblem(sentenceOf(error)));
  const closeViewer = useCallback(() => setImageId(null), []);
  const images = useMemo(
    () =>
      imageId === null
        ? []
        : shown.messages.flatMap(({ attachments, deletedAt }) =>
            deletedAt ? [] : attachments.filter(({ kind }) => kind === 'IMAGE'),
          ),
    [imageId, shown.messages],
  );

  return (
    <main className="chat" aria-label={shownName(chat.title)}>
      <header className="chat-head">
        <IconButton icon="back" label="Back to the chats" className="back" onPress={() => void leaveChat()} />
        <Face
          id={chat.peer?.id ?? chat.id}
          name={chat.title}
          {...(chat.peer ? {} : { picture: chat.avatar })}
          isOnline={chat.peer !== null && online.has(chat.peer.id)}
        />
        <div className="chat-title">
          <h1>
            <Name of={{ name: chat.title }} />
          </h1>
          <p className="quiet" aria-live="polite">
            {typing.length > 0 ? (
              <span className="typing">{isGroup ? typingOf(typing.map(shownName)) : 'typing …'}</span>
            ) : isGroup ? (
              <Button className="plain" onPress={() => setDetailsOpen(true)}>
                {chat.memberCount} {chat.memberCount === 1 ? 'member' : 'members'}
              </Button>
            ) : chat.peer && online.has(chat.peer.id) ? (
              'online'
            ) : null}
          </p>
        </div>
        <Pins
          pins={pins}
          mayPin={mayPin}
          onJump={(message) => void jump(message)}
          onUnpin={(message) => void queue.change({ ...message, chatId: chat.id }, { kind: 'pin', isOn: false })}
        />
        <ChatMenu
          chat={chat}
          isBlocked={block.isBlocked}
          onBlock={() => setBlock(!block.isBlocked)}
          onDetails={() => setDetailsOpen(true)}
          onSearch={() => setSearchOpen(true)}
          onUnread={() => void unread(chat.lastSeq)}
          onProblem={setProblem}
        />
      </header>
      <MessageList
        ref={list}
        chat={chat}
        readByAllSeq={readByAll(chat, members, userId)}
        state={shown}
        pending={pending}
        tasks={waiting}
        may={may}
        actions={actions}
        onOlder={() => thread?.older() ?? Promise.resolve()}
        onNewer={() => thread?.newer() ?? Promise.resolve()}
        onPart={onPart}
        onSeen={onSeen}
      />
      <Problem text={problem} />
      {block.isBlocked ? (
        <div className="blocked-line" role="status">
          You have blocked <Name of={chat.peer} />.
          <Button className="secondary" onPress={() => setBlock(false)}>
            Unblock
          </Button>
        </div>
      ) : (
        <Composer
          chat={chat}
          draft={drafted}
          onDraft={setDraft}
          onEdit={(message, text, mentionIds) => void queue.change(message, { kind: 'edit', text, mentionIds })}
          onSent={() => list.current?.toEnd()}
          onEditLast={editLast}
        />
      )}
      {isGroup && (
        <GroupDetails chat={chat} members={members} isOpen={isDetailsOpen} onClose={() => setDetailsOpen(false)} />
      )}
      {imageId !== null && <Viewer images={images} openId={imageId} onClose={closeViewer} />}
      <Sheet title="Report a message" isOpen={reported !== null} onClose={() => setReported(null)}>
        {reported && <Report message={reported} onClose={() => setReported(null)} />}
      </Sheet>
      <Question
        title="Delete this message?"
        yes="Delete"
        isOpen={deleting !== null}
        onYes={() => deleting && void queue.change(deleting, { kind: 'delete' })}
        onClose={() => setDeleting(null)}
        onDone={() => list.current?.focus()}
      >
        {deleting && (
          <p>
            <Name of={deleting.sender} />: <bdi>{previewOf(deleting, userId).slice(0, 160)}</bdi>
          </p>
        )}
        <p className="quiet">It is deleted for everybody in this chat. This cannot be undone.</p>
      </Question>
      <Sheet title="Search in this chat" isOpen={isSearchOpen} onClose={() => setSearchOpen(false)}>
        <Search chatId={chat.id} onDone={() => setSearchOpen(false)} />
      </Sheet>
    </main>
  );
}

function typingOf(names: readonly string[]): string {
  const [one, two] = names;
  if (names.length === 1) return `${one} is typing …`;
  if (names.length === 2) return `${one} and ${two} are typing …`;
  return `${names.length} people are typing …`;
}
