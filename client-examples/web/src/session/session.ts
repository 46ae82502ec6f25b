// The signed-in session of this browser, which all its tabs share: it lies in `localStorage`, is renewed
// by one tab at a time, and ends in all of them together.
import type {
  LoginMutation,
  RefreshSessionMutation,
  SignedInFragment,
  VerifyOtpMutation,
} from '../generated/graphql.js';
import {
  LoginDocument,
  LogoutDocument,
  RefreshSessionDocument,
  VerifyOtpDocument,
} from '../generated/graphql.js';
import { Refused } from '../talksy/refused.js';
import { post } from '../talksy/session.js';
import { scoped } from './scope.js';
import { stringifyDocument } from '@urql/core';

/** Why a session has ended, where it was not for the user alone: the server has ended it, or may not know that it ended. */
export type Ending = 'refused' | 'untold';

/** Where the session is kept. */
const key = () => scoped('talksy.session');
const DEVICES = 'talksy.devices';
/** Milliseconds before its end at which a token is renewed. */
const AHEAD = 60_000;
/** Milliseconds that signing out waits for the server. */
const GOODBYE = 1_500;

interface Kept {
  readonly user: { readonly id: string; readonly name: string };
  readonly accessToken: string;
  readonly refreshToken: string;
  /** By the clock of this browser, in milliseconds since 1970. */
  readonly expiresAt: number;
  /** How long the access token is good in all, in milliseconds. */
  readonly lasts: number;
}

type Renew = (refreshToken: string) => Promise<RefreshSessionMutation>;

/** The server's address, without `/graphql`. */
export const SERVER = globalThis.location?.origin ?? '';

function read(): Kept | null {
  try {
    return JSON.parse(localStorage.getItem(key()) ?? 'null') as Kept | null;
  } catch {
    return null;
  }
}

/** What is kept of an answer. Its times are the server's: only how long it lasts is taken of them. */
function keptOf({ accessToken, refreshToken, expiresAt, session, user }: SignedInFragment): Kept {
  const lasts = Date.parse(expiresAt) - Date.parse(session.lastUsedAt);
  return { user, accessToken, refreshToken, lasts, expiresAt: Date.now() + lasts };
}

function keep(answer: SignedInFragment): Kept {
  const kept = keptOf(answer);
  localStorage.setItem(key(), JSON.stringify(kept));
  return kept;
}

/** The device tokens, by address: they outlive signing out. */
function devices(): Record<string, string> {
  try {
    return JSON.parse(localStorage.getItem(DEVICES) ?? '{}') as Record<string, string>;
  } catch {
    return {};
  }
}

/** Asks for a code by mail. */
export async function askForCode(address: string): Promise<NonNullable<LoginMutation['login']>> {
  const email = address.trim().toLowerCase();
  const { login } = await post<LoginMutation>(SERVER, stringifyDocument(LoginDocument), {
    email,
    deviceToken: devices()[email],
  });
  if (!login) throw new Error('The answer has no challenge.');
  return login;
}

/** Exchanges a challenge and its code for a session. */
export async function signIn(address: string, challenge: string, code: string) {
  const { verifyOtp } = await post<VerifyOtpMutation>(
    SERVER,
    stringifyDocument(VerifyOtpDocument),
    { challenge, code },
  );
  if (!verifyOtp) throw new Error('The answer has no session.');
  const email = address.trim().toLowerCase();
  localStorage.setItem(DEVICES, JSON.stringify({ ...devices(), [email]: verifyOtp.deviceToken }));
  keep(verifyOtp);
  return { session: new WebSession(verifyOtp.user.id), isNewUser: verifyOtp.isNewUser };
}

/** Codes of `refreshSession` behind which the session is over. */
const OVER = ['SUSPENDED', 'TOKEN_EXPIRED', 'TOKEN_REUSED', 'UNAUTHENTICATED'];

export class WebSession {
  readonly url = SERVER;
  /** Called once when the session has ended, here or in another tab. */
  onEnd: (ending: Ending | null) => void = () => {};
  /** Sends a renewal over the open socket, which then stays open; false where there is none. */
  overSocket: Renew | undefined;
  #known: Kept;
  #isExpired = false;
  #renewing: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  /** The session that is kept; null where nobody is signed in. */
  static open(): WebSession | null {
    const kept = read();
    return kept && new WebSession(kept.user.id);
  }

  constructor(readonly userId: string) {
    const kept = read();
    if (kept?.user.id !== userId) throw new Error('This session is not kept.');
    this.#known = kept;
    addEventListener('storage', this.#onStorage);
    this.#plan();
  }

  /** An access token, for `createSocket`. */
  async token(): Promise<string> {
    if (this.#isExpired) await this.#renew();
    return this.#known.accessToken;
  }

  /** The server says that the token has expired. */
  expired(token: string = this.#known.accessToken): void {
    if (token === this.#known.accessToken) this.#isExpired = true;
  }

  /** `fetch` with a token that is renewed when it has expired. */
  readonly fetch: typeof fetch = async (input, init) => {
    const token = await this.token();
    const response = await this.#send(input, init, token);
    const answer = (await response.clone().json().catch(() => ({}))) as {
      errors?: { extensions?: { code?: string } }[];
    };
    const code = answer.errors?.[0]?.extensions?.code;
    if (code !== 'TOKEN_EXPIRED' && code !== 'UNAUTHENTICATED') return response;
    this.expired(token);
    return this.#send(input, init, await this.token());
  };

  /** `fetch` of something long: without a deadline, and its body is left to who asks. */
  async download(path: string, signal: AbortSignal): Promise<Response> {
    const ask = async () =>
      fetch(`${SERVER}${path}`, { signal, headers: { authorization: `Bearer ${await this.token()}` } });
    const response = await ask();
    if (response.status !== 401) return response;
    this.expired();
    return ask();
  }

  /** Ends the session on the server, where it answers soon, and forgets it in all tabs. */
  async signOut(): Promise<void> {
    // Without an answer it goes on behind the end, also where the page is closed.
    const ask: typeof fetch = (input, init) => this.fetch(input, { ...init, keepalive: true });
    const told = post(SERVER, stringifyDocument(LogoutDocument), {}, ask).then(
      () => true,
      (error: unknown) => error instanceof Refused && OVER.includes(error.code ?? ''),
    );
    const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), GOODBYE));
    this.end((await Promise.race([told, late])) ? null : 'untold');
  }

  /** Forgets the session. What was written stays on the device for the next sign-in. */
  end(ending: Ending | null = null): void {
    if (this.#isOver) return;
    if (read()?.user.id === this.userId) localStorage.removeItem(key());
    this.close();
    this.onEnd(ending);
  }

  close(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    removeEventListener('storage', this.#onStorage);
  }

  async #send(input: RequestInfo | URL, init: RequestInit | undefined, token: string) {
    const headers = new Headers(init?.headers);
    headers.set('authorization', `Bearer ${token}`);
    const deadline = AbortSignal.timeout(15_000);
    const signal = init?.signal ? AbortSignal.any([init.signal, deadline]) : deadline;
    return fetch(input, { ...init, headers, signal });
  }

  #plan() {
    clearTimeout(this.#timer);
    // The random part lets one of several tabs do it alone.
    const ahead = Math.min(AHEAD + Math.random() * 15_000, this.#known.lasts / 2);
    const wait = this.#known.expiresAt - ahead - Date.now();
    this.#timer = setTimeout(() => void this.#renew().catch(() => this.#later()), Math.max(0, wait));
  }

  #later() {
    if (!this.#isOver) this.#timer = setTimeout(() => this.#plan(), 10_000);
  }

  /** All who need a new token wait for the same renewal. */
  #renew(): Promise<void> {
    this.#renewing ??= this.#renewAlone().finally(() => (this.#renewing = undefined));
    return this.#renewing;
  }

  async #renewAlone() {
    const before = this.#known.accessToken;
    await inLock('talksy-refresh', async () => {
      const kept = read();
      if (kept?.user.id !== this.userId) return this.end();
      // Another tab has done it.
      if (kept.accessToken !== before) return this.#take(kept);
      try {
        const answer = await this.#ask(kept.refreshToken);
        if (!answer.refreshSession) throw new Error('The answer has no tokens.');
        // Who has signed out meanwhile stays so; the token is good for telling the server.
        if (this.#isOver) this.#known = keptOf(answer.refreshSession);
        else this.#take(keep(answer.refreshSession));
      } catch (error) {
        if (error instanceof Refused && OVER.includes(error.code ?? '')) this.end('refused');
        throw error;
      }
    });
  }

  async #ask(refreshToken: string): Promise<RefreshSessionMutation> {
    try {
      if (this.overSocket && !this.#isExpired) return await this.overSocket(refreshToken);
    } catch (error) {
      if (error instanceof Refused) throw error;
      // The socket broke. The same token is answered with the same successor.
    }
    return post<RefreshSessionMutation>(SERVER, stringifyDocument(RefreshSessionDocument), {
      refreshToken,
    });
  }

  #take(kept: Kept) {
    this.#known = kept;
    this.#isExpired = false;
    this.#plan();
  }

  readonly #onStorage = (event: StorageEvent) => {
    if (event.key !== key() && event.key !== null) return;
    const kept = read();
    if (kept?.user.id !== this.userId) this.end();
    else if (kept.accessToken !== this.#known.accessToken) this.#take(kept);
  };
}

/** One tab at a time; where the browser has no locks, the server bears it that two do it at once. */
async function inLock(name: string, run: () => Promise<void>): Promise<void> {
  if (navigator.locks) await navigator.locks.request(name, run);
  else await run();
}
