// The chat of one of the demo's people, in a frame of the demo's page or on its own: the web chat as it is,
// with a session of its own, a sign-in by one click, and a plug.
import { plugIn, pull } from './plug.js';
import { StrictMode, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';

import { compare, loadHistory, somePlace, type Place, type Report } from './compare.js';
import { noteUser, ready } from './run.js';
import { App } from '../app.js';
import { setScope } from '../session/scope.js';
import { WebSession, signIn } from '../session/session.js';
import { openChat, startRoute } from '../ui/route.js';
import '../ui/style.css';
import '../chat/chat.css';
import '../sidebar/sidebar.css';
import './pane.css';

/** What the demo's page does with a pane. */
export interface Pane {
  isIn(): boolean;
  /** Signs in with a ticket; without one where the browser has a session already. */
  enter(): Promise<void>;
  pull(): void;
  plugIn(): void;
  compare(patience?: number): Promise<Report>;
  /** An access token of the pane's session. */
  token(): Promise<string>;
  /** A message that the pane keeps. */
  place(): Promise<Place>;
}

declare global {
  interface Window {
    talksyPane?: Pane;
  }
}

const PEOPLE: Readonly<Record<string, string>> = { ada: 'Ada Lovelace', grace: 'Grace Hopper' };
const person = new URLSearchParams(location.search).get('as') ?? '';
setScope(person);
// A frame adds nothing to the history of the page around it.
startRoute(false);

interface Ticket {
  readonly email: string;
  readonly challenge: string;
  readonly code: string;
}

async function ticket(): Promise<Ticket> {
  for (let tries = 1; ; tries += 1) {
    const response = await fetch('/demo/ticket', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ as: person }),
    });
    if (response.ok) return (await response.json()) as Ticket;
    // One a second, at most.
    if (response.status !== 429 || tries === 5) throw new Error(`The demo answered ${response.status}.`);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

function kept(): string | null {
  const session = WebSession.open();
  session?.close();
  return session?.userId ?? null;
}

/** Tells the page around that something is another. */
const tell = () => window.parent.dispatchEvent(new Event('pane'));

async function enter(): Promise<void> {
  if (kept() === null) {
    const { email, challenge, code } = await ticket();
    const { session } = await signIn(email, challenge, code);
    session.close();
    noteUser(session.userId);
  }
}

async function token(): Promise<string> {
  const session = WebSession.open();
  if (!session) throw new Error('Nobody is signed in.');
  try {
    return await session.token();
  } finally {
    session.close();
  }
}

function Entrance() {
  const [isIn, setIn] = useState(() => kept() !== null);
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);

  useEffect(() => {
    const come = async () => {
      setBusy(true);
      setProblem(null);
      try {
        await enter();
        setIn(true);
      } catch (error) {
        setProblem(String(error));
      } finally {
        setBusy(false);
      }
    };
    window.talksyPane = { isIn: () => kept() !== null, enter: come, pull, plugIn, compare, token, place: somePlace };
    tell();
  }, []);

  useEffect(() => {
    if (!isIn) return;
    tell();
    loadHistory().then(
      (chats) => {
        const direct = chats.find(({ kind }) => kind === 'DIRECT');
        if (direct && location.hash === '') openChat(direct.id);
      },
      // Where this breaks off, the comparison tells.
      () => {},
    );
  }, [isIn]);

  if (isIn) return <App />;
  return (
    <main className="entrance">
      <img src="/icon.svg" alt="" width="56" height="56" />
      <button type="button" className="primary" disabled={isBusy} onClick={() => void window.talksyPane?.enter()}>
        Sign in as {PEOPLE[person]}
      </button>
      <p className="quiet">No code to read: this is a demo.</p>
      {problem && <p className="problem">{problem}</p>}
    </main>
  );
}

const root = document.getElementById('root');
if (!root) throw new Error('The page has no root.');
if (!PEOPLE[person]) {
  location.replace('/demo');
} else {
  void ready().then(() =>
    createRoot(root).render(
      <StrictMode>
        <Entrance />
      </StrictMode>,
    ),
  );
}
