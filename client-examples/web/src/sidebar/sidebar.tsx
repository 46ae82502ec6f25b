// The viewer's chats, and a search for people.
import { useEffect, useMemo, useRef, useState } from 'react';
import { Button, Input, Label, SearchField } from 'react-aria-components';
import { VList } from 'virtua';

import { PeopleDocument, StartChatDocument, type PeopleQuery } from '../generated/graphql.js';
import { NewGroup } from '../group/new-group.js';
import { useOnline } from '../live/live.js';
import type { Chat, Pending } from '../replica/database.js';
import { activeAt } from '../replica/state.js';
import { previewOf, previewOfPending } from '../chat/preview.js';
import { Face } from '../files/face.js';
import { useFeature } from '../session/features.js';
import { Boundary } from '../ui/boundary.js';
import { later } from '../ui/later.js';
import { shownName } from '../ui/names.js';
import {
  Icon,
  IconButton,
  Name,
  Problem,
  countOf,
  shortTimeOf,
  useAccount,
  useAccountState,
  useRested,
} from '../ui/parts.js';
import { linkTo, openChat } from '../ui/route.js';
import { sentenceOf } from '../ui/sentences.js';

const Search = later(() => import('../search/search.js'));

type People = NonNullable<PeopleQuery['users']>['nodes'];

interface SidebarProps {
  readonly openId: string | null;
  readonly onProfile: () => void;
  /** Opens the operators' page; null for who is none. */
  readonly onModeration: (() => void) | null;
}

export function Sidebar({ openId, onProfile, onModeration }: SidebarProps) {
  const maySearch = useFeature('search');
  const { chats, outbox, viewer, isLoaded } = useAccountState();
  const [search, setSearch] = useState('');
  const [isGroupOpen, setGroupOpen] = useState(false);
  const searchField = useRef<HTMLInputElement>(null);
  const wanted = search.trim().toLowerCase();
  const found = useMemo(
    () => (wanted === '' ? chats : chats.filter(({ title }) => title.toLowerCase().includes(wanted))),
    [chats, wanted],
  );
  // The last one of each chat.
  const waiting = useMemo(() => new Map(outbox.map((pending) => [pending.chatId, pending])), [outbox]);
  const online = useOnline();
  const { people, isAnswered, problem } = usePeople(search);

  return (
    <nav className="sidebar" aria-label="Chats">
      <header className="sidebar-head">
        <Button className="me" onPress={onProfile}>
          <span className="hidden">Your profile, </span>
          <Face id={viewer?.id ?? ''} name={viewer?.name ?? ' '} picture={viewer?.avatar ?? null} />
          <Name of={viewer ?? { name: '' }} />
        </Button>
        <span className="head-gap" />
        {onModeration && <IconButton icon="shield" label="Moderation" onPress={onModeration} />}
        <IconButton icon="group" label="New group" onPress={() => setGroupOpen(true)} />
      </header>
      <SearchField className="search" value={search} onChange={setSearch}>
        <Label className="hidden">Search chats and people</Label>
        <Input ref={searchField} placeholder="Search chats and people" />
      </SearchField>
      <div className="list">
        {found.length > 0 && (
          <VList data={found} itemSize={68}>
            {(chat) => (
              <Boundary key={chat.id} what="This chat" of={chat}>
                <ChatRow
                  chat={chat}
                  waiting={waiting.get(chat.id)}
                  isOpen={chat.id === openId}
                  isOnline={chat.peer !== null && online.has(chat.peer.id)}
                />
              </Boundary>
            )}
          </VList>
        )}
        {wanted === '' && isLoaded && chats.length === 0 && (
          <Empty onSearch={() => searchField.current?.focus()} onGroup={() => setGroupOpen(true)} />
        )}
      </div>
      {wanted !== '' && (
        <section className="people" aria-label="People and messages">
          <h2>People</h2>
          <Problem text={problem} />
          {people.map((person) => (
            <Person key={person.id} person={person} onDone={() => setSearch('')} />
          ))}
          {isAnswered && people.length === 0 && <p className="quiet">Nobody is found by this.</p>}
          {maySearch && (
            <>
              <h2>Messages</h2>
              <Search words={search} onDone={() => setSearch('')} />
            </>
          )}
        </section>
      )}
      <NewGroup isOpen={isGroupOpen} onClose={() => setGroupOpen(false)} />
    </nav>
  );
}

/** What somebody can do who has no chat yet. */
function Empty({ onSearch, onGroup }: { onSearch: () => void; onGroup: () => void }) {
  return (
    <div className="empty">
      <h2>No chats yet</h2>
      <p className="quiet">Look for somebody by name or mail address, and say hello.</p>
      <Button className="primary" onPress={onSearch}>
        Find somebody
      </Button>
      <Button className="secondary" onPress={onGroup}>
        Make a group
      </Button>
      <p className="quiet">
        Is nobody here whom you know? They sign in at <bdi>{location.origin}</bdi>.
      </p>
    </div>
  );
}

interface Found {
  /** What they were looked for by. */
  readonly search: string;
  readonly people: People;
}

/** The people whom a search finds; those of the search before it until the server has answered. */
export function usePeople(search: string): { people: People; isAnswered: boolean; problem: string | null } {
  const { connection } = useAccount();
  const [found, setFound] = useState<Found>({ search: '', people: [] });
  const [problem, setProblem] = useState<string | null>(null);
  const typed = search.trim();
  const wanted = useRested(typed, 250);
  useEffect(() => {
    let isOver = false;
    setProblem(null);
    if (wanted === '') {
      setFound({ search: '', people: [] });
      return;
    }
    connection.query(PeopleDocument, { search: wanted }).then(
      ({ users }) => isOver || setFound({ search: wanted, people: users?.nodes ?? [] }),
      (error: unknown) => isOver || setProblem(sentenceOf(error)),
    );
    return () => void (isOver = true);
  }, [connection, wanted]);
  return { people: found.people, isAnswered: found.search === typed, problem };
}

function Person({ person, onDone }: { person: People[number]; onDone: () => void }) {
  const { connection, replica } = useAccount();
  const [problem, setProblem] = useState<string | null>(null);
  async function start() {
    try {
      const { startChat } = await connection.mutate(StartChatDocument, { userId: person.id });
      if (!startChat) return;
      await replica.keepChat(startChat.chat);
      openChat(startChat.chat.id);
      onDone();
    } catch (error) {
      setProblem(sentenceOf(error));
    }
  }
  return (
    <>
      <Button className="row" onPress={() => void start()}>
        <Face id={person.id} name={person.name} />
        <Name of={person} />
      </Button>
      <Problem text={problem} />
    </>
  );
}

interface ChatRowProps {
  readonly chat: Chat;
  /** What was written last and is not sent yet. */
  readonly waiting: Pending | undefined;
  readonly isOpen: boolean;
  readonly isOnline: boolean;
}

function ChatRow({ chat, waiting, isOpen, isOnline }: ChatRowProps) {
  const { id, title, unreadCount, unreadMentionCount, isMutedByViewer, lastMessage, peer } = chat;
  const isMarked = chat.viewerUnreadFromSeq !== null && unreadCount === 0;
  return (
    <a
      className={`row chat-row ${isOpen ? 'is-open' : ''}`}
      href={linkTo(id)}
      aria-current={isOpen ? 'page' : undefined}
      // It would make its entry of the history anew, without what is kept there.
      onClick={(event) => isOpen && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.preventDefault()}
    >
      <Face id={peer?.id ?? id} name={title} {...(peer ? {} : { picture: chat.avatar })} isOnline={isOnline} />
      <span className="about">
        <span className="line">
          <Name of={{ name: title }} />
          {isOnline && <span className="hidden">online</span>}
          {isMutedByViewer && (
            <span className="mark" title="Muted">
              <Icon name="muted" />
              <span className="hidden">muted</span>
            </span>
          )}
          {lastMessage && <time dateTime={activeAt(chat)}>{shortTimeOf(activeAt(chat))}</time>}
        </span>
        <span className="line">
          <Preview chat={chat} waiting={waiting} />
          {waiting && (
            <span
              className={`mark ${waiting.problem ? '' : 'is-late'}`}
              title={waiting.problem ? 'Not sent' : 'Waiting to be sent'}
            >
              <Icon name={waiting.problem ? 'failed' : 'clock'} />
              <span className="hidden">{waiting.problem ? 'not sent' : 'waiting to be sent'}</span>
            </span>
          )}
          {unreadMentionCount > 0 && (
            <span className="badge mention">
              @<span className="hidden">mentions you</span>
            </span>
          )}
          {unreadCount > 0 && (
            <span className={`badge ${isMutedByViewer ? 'is-muted' : ''}`}>
              {countOf(unreadCount)}
              <span className="hidden">unread</span>
            </span>
          )}
          {isMarked && (
            <span className="badge is-dot">
              <span className="hidden">marked as unread</span>
            </span>
          )}
        </span>
      </span>
    </a>
  );
}

function Preview({ chat: { lastMessage, kind }, waiting }: Pick<ChatRowProps, 'chat' | 'waiting'>) {
  const { userId } = useAccount();
  let who = '';
  let what = '';
  if (waiting && (!lastMessage || waiting.at >= Date.parse(lastMessage.createdAt))) {
    who = 'You: ';
    what = previewOfPending(waiting);
  } else if (lastMessage) {
    const { sender } = lastMessage;
    if (sender?.id === userId) who = 'You: ';
    else if (kind === 'GROUP' && sender) who = `\u2068${shownName(sender.name)}\u2069: `;
    what = previewOf(lastMessage, userId);
  }
  return (
    <bdi className="preview">
      {who}
      {what.slice(0, 120)}
    </bdi>
  );
}
