// A chat that is open: its head, its messages and what is being written.
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { Button } from 'react-aria-components';

import { Composer, type Draft } from './composer.js';
import { MessageList, type ListHandle } from './message-list.js';
import type { Actions } from './message-row.js';
import {
  AddReactionDocument,
  DeleteMessageDocument,
  EditMessageDocument,
  MarkReadDocument,
  MembersDocument,
  RemoveReactionDocument,
  type MembersQuery,
  type MessageStateFragment,
} from '../generated/graphql.js';
import { GroupDetails } from '../group/group-details.js';
import { useOnline, useTyping } from '../live/live.js';
import { pendingIn } from '../outbox/queue.js';
import type { Chat, Member, Message } from '../replica/database.js';
import type { Thread } from '../replica/thread.js';
import { ChatMenu } from './chat-menu.js';
import { Avatar, IconButton, Name, Problem, useAccount, useAccountState } from '../ui/parts.js';
import { openChat } from '../ui/route.js';
import { sentenceOf } from '../ui/sentences.js';

const NOTHING = { messages: [], hasOlder: false, isLoading: true };
const never = () => () => {};

/** The thread of a chat, as long as it is open. */
function useThread(chatId: string) {
  const account = useAccount();
  const [thread, setThread] = useState<Thread | null>(null);
  useEffect(() => {
    const opened = account.thread(chatId);
    setThread(opened);
    // Without a network, what is kept is shown; the rest comes when there is one.
    const open = () => void opened.open().catch(() => {});
    open();
    addEventListener('online', open);
    return () => {
      removeEventListener('online', open);
      opened.close();
    };
  }, [account, chatId]);
  const state = useSyncExternalStore(thread?.subscribe ?? never, thread?.snapshot ?? (() => NOTHING));
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
        if (!hasNextPage) break;
        after = endCursor;
      }
      await replica.keepMembers(chat.id, all);
    })().catch(() => {});
    return () => void (isOver = true);
  }, [connection, replica, chat.id, chat.kind, chat.memberCount, lastNotice]);
  return members.get(chat.id) ?? [];
}

export function ChatPane({ chat }: { chat: Chat }) {
  const account = useAccount();
  const { connection, replica, queue, userId } = account;
  const { outbox } = useAccountState();
  const { thread, state } = useThread(chat.id);
  const [draft, setDraft] = useState<Draft | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isDetailsOpen, setDetailsOpen] = useState(false);
  const list = useRef<ListHandle>(null);
  const typing = useTyping(chat.id);
  const online = useOnline();
  const members = useMembers(chat, state.messages);
  const pending = useMemo(
    () => pendingIn(chat.id, outbox, state.messages),
    [chat.id, outbox, state.messages],
  );
  const role = chat.viewerMember?.role;
  const isGroup = chat.kind === 'GROUP';

  /** What changes a message: its answer is kept at once. */
  const change = useCallback(
    async (ask: () => Promise<MessageStateFragment | undefined>): Promise<boolean> => {
      setProblem(null);
      try {
        const message = await ask();
        if (message) await replica.keepMessage(chat.id, message);
        return true;
      } catch (error) {
        setProblem(sentenceOf(error));
        return false;
      }
    },
    [chat.id, replica],
  );

  const actions = useMemo<Actions>(
    () => ({
      onReply: (message) => setDraft({ kind: 'reply', message }),
      onEdit: (message) => setDraft({ kind: 'edit', message }),
      onDelete: ({ id }) =>
        void change(async () => {
          const { deleteMessage } = await connection.mutate(DeleteMessageDocument, { messageId: id });
          return deleteMessage?.message;
        }),
      onReact: ({ id }, emoji, isOn) =>
        void change(async () => {
          const variables = { messageId: id, emoji };
          if (!isOn) {
            const { removeReaction } = await connection.mutate(RemoveReactionDocument, variables);
            return removeReaction?.message;
          }
          const { addReaction } = await connection.mutate(AddReactionDocument, variables);
          return addReaction?.message;
        }),
      onJump: (seq) => list.current?.jump(seq),
    }),
    [change, connection],
  );

  const onEdit = (message: Message, text: string) =>
    change(async () => {
      const variables = { messageId: message.id, text, expectedChangeSeq: message.changeSeq };
      const { editMessage } = await connection.mutate(EditMessageDocument, variables);
      return editMessage?.message;
    });

  const onSeen = useCallback(
    (seq: number) => {
      void replica.showRead(chat.id, seq);
      connection.mutate(MarkReadDocument, { chatId: chat.id, seq }).catch(() => {});
    },
    [replica, connection, chat.id],
  );

  const editLast = () => {
    const last = state.messages.findLast(({ sender, deletedAt }) => sender?.id === userId && !deletedAt);
    if (last) setDraft({ kind: 'edit', message: last });
  };

  return (
    <main className="chat" aria-label={chat.title}>
      <header className="chat-head">
        <IconButton icon="back" label="Back to the chats" className="back" onPress={() => openChat(null)} />
        <Avatar id={chat.peer?.id ?? chat.id} name={chat.title} isOnline={chat.peer !== null && online.has(chat.peer.id)} />
        <div className="chat-title">
          <h1>
            <Name of={{ name: chat.title }} />
          </h1>
          <p className="quiet" aria-live="polite">
            {typing.length > 0 ? (
              <span className="typing">{isGroup ? typingOf(typing) : 'typing …'}</span>
            ) : isGroup ? (
              <Button className="plain" onPress={() => setDetailsOpen(true)}>
                {chat.memberCount} {chat.memberCount === 1 ? 'member' : 'members'}
              </Button>
            ) : chat.peer && online.has(chat.peer.id) ? (
              'online'
            ) : null}
          </p>
        </div>
        <ChatMenu chat={chat} onDetails={() => setDetailsOpen(true)} onProblem={setProblem} />
      </header>
      <MessageList
        ref={list}
        chat={chat}
        state={state}
        pending={pending}
        mayModerate={isGroup && (role === 'OWNER' || role === 'ADMIN')}
        actions={actions}
        onOlder={() => thread?.older() ?? Promise.resolve()}
        onSeen={onSeen}
        onRetry={(id) => void queue.retry(id)}
        onDiscard={(id) => void queue.discard(id)}
      />
      <Problem text={problem} />
      <Composer
        chatId={chat.id}
        draft={draft}
        onDraft={setDraft}
        onEdit={onEdit}
        onSent={() => list.current?.toEnd()}
        onEditLast={editLast}
      />
      {isGroup && (
        <GroupDetails chat={chat} members={members} isOpen={isDetailsOpen} onClose={() => setDetailsOpen(false)} />
      )}
    </main>
  );
}

function typingOf(names: readonly string[]): string {
  const [one, two] = names;
  if (names.length === 1) return `${one} is typing …`;
  if (names.length === 2) return `${one} and ${two} are typing …`;
  return `${names.length} people are typing …`;
}
