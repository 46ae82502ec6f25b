// Who is signed in, and what they see.
import { useEffect, useMemo, useRef, useState, type ReactNode } from 'react';

import { Account } from './account.js';
import { ChatPane } from './chat/chat-pane.js';
import { useStay } from './files/attach.js';
import { OnlineProvider, useIsAway, useWatchOnline } from './live/live.js';
import { ServerNotice } from './live/server-notice.js';
import { useOperator } from './moderation/operator.js';
import { WebSession, type Ending } from './session/session.js';
import { SignIn } from './session/signin.js';
import { Sidebar } from './sidebar/sidebar.js';
import { Boundary, Reload } from './ui/boundary.js';
import { MOMENT, later } from './ui/later.js';
import { shownName } from './ui/names.js';
import { AccountProvider, IconButton, Sheet, countOf, useAccountState } from './ui/parts.js';
import { leaveChat, useOpenChat } from './ui/route.js';
import { sentenceOf } from './ui/sentences.js';

const Settings = later(() => import('./settings/settings.js'), MOMENT);
const Moderation = later(() => import('./moderation/moderation.js'), MOMENT);

const NOBODY: ReadonlySet<string> = new Set();

export const App = () => (
  <Boundary what="The page" way={<Reload />} frame={(said) => <main className="starting">{said}</main>}>
    <Whole />
  </Boundary>
);

function Whole() {
  const [session, setSession] = useState(() => WebSession.open());
  const [isNew, setNew] = useState(false);
  const [ending, setEnding] = useState<Ending | null>(null);
  const [account, setAccount] = useState<Account | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  useStay();

  useEffect(() => {
    if (!session) return;
    let isOver = false;
    let opened: Account | undefined;
    session.onEnd = (ending) => {
      setEnding(ending);
      setSession(null);
    };
    setProblem(null);
    const fail = (problem: unknown) => isOver || setProblem(problem);
    Account.open(session).then((account) => {
      opened = account;
      account.onProblem = fail;
      if (isOver) account.close();
      else setAccount(account);
    }, fail);
    return () => {
      isOver = true;
      opened?.close();
      setAccount(null);
    };
  }, [session]);

  if (!session) {
    return (
      <SignIn
        ending={ending}
        onSession={(session, isNew) => {
          setNew(isNew);
          setSession(session);
        }}
      />
    );
  }
  if (!account) {
    return (
      <main className="starting" aria-busy={problem === null} aria-label="Starting">
        {problem !== null && <p>This browser keeps nothing for this page: allow it to store data, and reload.</p>}
      </main>
    );
  }
  return (
    <AccountProvider value={account}>
      <Home isNew={isNew} problem={problem} />
    </AccountProvider>
  );
}

const failedChat = (said: ReactNode) => (
  <main className="chat">
    <header className="chat-head">
      <IconButton icon="back" label="Back to the chats" className="back" onPress={() => void leaveChat()} />
    </header>
    {said}
  </main>
);
const failedSidebar = (said: ReactNode) => (
  <nav className="sidebar" aria-label="Chats">
    {said}
  </nav>
);

function Home({ isNew, problem }: { isNew: boolean; problem: unknown }) {
  const chatId = useOpenChat();
  const { chats, viewer, isLoaded } = useAccountState();
  const [isProfileOpen, setProfileOpen] = useState(false);
  const [isModerationOpen, setModerationOpen] = useState(false);
  const isOperator = useOperator();
  const isAway = useIsAway();
  const welcomed = useRef(!isNew);
  const [isWelcome, setWelcome] = useState(isNew);
  const chat = chats.find(({ id }) => id === chatId);
  const isNobody = isLoaded && chats.length === 0;
  const closeProfile = () => {
    setProfileOpen(false);
    setWelcome(false);
  };

  // The open chat's first, then those that were active last.
  const peers = useMemo(
    () => [chat, ...chats].flatMap((one) => (one?.peer ? [one.peer.id] : [])),
    [chat, chats],
  );
  const online = useWatchOnline(peers);

  useEffect(() => {
    // The profile is there with the first load.
    if (!viewer || welcomed.current) return;
    welcomed.current = true;
    setProfileOpen(true);
  }, [viewer]);

  const unread = chats.reduce((sum, { isMutedByViewer, unreadCount }) => sum + (isMutedByViewer ? 0 : unreadCount), 0);
  useEffect(() => {
    const count = unread > 0 ? `(${countOf(unread)}) ` : '';
    document.title = `${count}${chat ? `${shownName(chat.title)} · ` : ''}Talksy`;
  }, [unread, chat]);

  return (
    <OnlineProvider value={isAway ? NOBODY : online}>
      {/* A phone shows the chats where the open one is not there any more. */}
      <div className={`home ${chat ? 'has-chat' : ''}`}>
        <div className="banner" role="status">
          {/* The first is shown: one line is kept free for it, so that nothing moves. */}
          {problem !== null && <p>{sentenceOf(problem)}</p>}
          {isAway && <p>You are offline. What you send goes out later.</p>}
          <ServerNotice />
        </div>
        <Boundary what="The list of chats" way={<Reload />} frame={failedSidebar}>
          <Sidebar
            openId={chatId}
            onProfile={() => setProfileOpen(true)}
            onModeration={isOperator ? () => setModerationOpen(true) : null}
          />
        </Boundary>
        {chat ? (
          <Boundary key={chat.id} what="This chat" way={<Reload />} frame={failedChat}>
            <ChatPane chat={chat} />
          </Boundary>
        ) : (
          <main className="nothing">
            <img src="/icon.svg" alt="" width="72" height="72" />
            <h2>
              {chatId && isLoaded ? 'This chat is not there any more' : isNobody ? 'Welcome to Talksy' : 'Pick a chat'}
            </h2>
            <p className="quiet">
              {isNobody ? 'Your chats will be here.' : 'Or look for somebody by name or mail address, and say hello.'}
            </p>
          </main>
        )}
        <Sheet
          title={isWelcome ? 'Welcome to Talksy' : 'Your account'}
          isOpen={isProfileOpen}
          onClose={closeProfile}
          isWide={!isWelcome}
        >
          <Settings isNew={isWelcome} onClose={closeProfile} />
        </Sheet>
        <Sheet title="Moderation" isOpen={isModerationOpen} onClose={() => setModerationOpen(false)} isWide>
          <Moderation />
        </Sheet>
      </div>
    </OnlineProvider>
  );
}
