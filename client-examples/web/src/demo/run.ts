// What the server tells of the demo, and what browsers keep of former ones.

/** How often the bot has done what, since the server was started. */
export interface Counts {
  readonly sent: number;
  readonly edited: number;
  readonly deleted: number;
  readonly reacted: number;
}

export interface DemoState {
  /** Another one each time that the demo is started. */
  readonly run: string;
  /** Whether the chats are there. */
  readonly isReady: boolean;
  readonly bot: Counts;
}

const RUN = 'talksy.demo.run';
const USERS = 'talksy.demo.users';
const SESSIONS = 'talksy.session.';

export async function askState(): Promise<DemoState> {
  const response = await fetch('/demo/state');
  if (!response.ok) throw new Error(`The demo answered ${response.status}.`);
  return (await response.json()) as DemoState;
}

const users = (): string[] => JSON.parse(localStorage.getItem(USERS) ?? '[]') as string[];

/** Notes whose database is to be deleted when this demo is over. */
export function noteUser(userId: string): void {
  localStorage.setItem(USERS, JSON.stringify([...new Set([...users(), userId])]));
}

/** Whether it is the demo that this browser has seen last. */
export const isThisRun = ({ run }: DemoState): boolean => localStorage.getItem(RUN) === run;

/** Waits for the chats, and deletes what was kept of a demo that is over: its data is thrown away. */
export async function ready(): Promise<void> {
  for (;;) {
    const state = await askState().catch(() => null);
    if (state?.isReady) {
      if (!isThisRun(state)) forget();
      localStorage.setItem(RUN, state.run);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function forget() {
  for (const userId of users()) indexedDB.deleteDatabase(`talksy-${userId}`);
  for (const key of Object.keys(localStorage)) {
    if (key === USERS || key.startsWith(SESSIONS)) localStorage.removeItem(key);
  }
}
