// Signs in, and renews the access token. Needs `fetch` alone.
import { Refused, mayPass, retrying, type ErrorEntry } from './refused.js';

const LOGIN = /* GraphQL */ `
  mutation Login($email: String!, $deviceToken: String) {
    login(input: { email: $email, deviceToken: $deviceToken }) {
      challenge
    }
  }
`;

const VERIFY_OTP = /* GraphQL */ `
  mutation VerifyOtp($challenge: String!, $code: String!) {
    verifyOtp(input: { challenge: $challenge, code: $code }) {
      deviceToken
      accessToken
      refreshToken
      user {
        id
        name
      }
    }
  }
`;

const REFRESH_SESSION = /* GraphQL */ `
  mutation RefreshSession($refreshToken: String!) {
    refreshSession(input: { refreshToken: $refreshToken }) {
      accessToken
      refreshToken
    }
  }
`;

export interface Tokens {
  readonly accessToken: string;
  readonly refreshToken: string;
}

export interface SignedIn extends Tokens {
  /** For the next `signIn` on this device; an application keeps it, also after signing out. */
  readonly deviceToken: string;
  readonly user: { readonly id: string; readonly name: string };
}

/** A signed-in user. */
export class Session {
  readonly user: SignedIn['user'];
  readonly deviceToken: string;
  #tokens: Tokens;
  #isExpired = false;
  #refreshing: Promise<void> | undefined;

  /**
   * `url` is the server's address, without `/graphql`. An application that is started again gives
   * what it kept; `keep` is called with each new pair of tokens, of which only the last is good.
   */
  constructor(
    readonly url: string,
    { user, deviceToken, accessToken, refreshToken }: SignedIn,
    readonly keep: (tokens: Tokens) => void = () => {},
  ) {
    this.user = user;
    this.deviceToken = deviceToken;
    this.#tokens = { accessToken, refreshToken };
  }

  /** `readCode` asks the user for the digits that were mailed. */
  static async signIn(
    url: string,
    email: string,
    readCode: () => Promise<string>,
    deviceToken?: string,
  ): Promise<Session> {
    const { login } = await post<{ login: { challenge: string } }>(url, LOGIN, {
      email,
      deviceToken,
    });
    const { challenge } = login;
    const code = await readCode();
    const { verifyOtp } = await post<{ verifyOtp: SignedIn }>(url, VERIFY_OTP, { challenge, code });
    return new Session(url, verifyOtp);
  }

  /** An access token. The server tells when it has expired: clocks differ. */
  async token(): Promise<string> {
    // A refresh token is good for one use, and a second use ends the session, as it may be a
    // thief's. So all who need a new token wait for the same refresh.
    if (this.#isExpired) await (this.#refreshing ??= this.#refresh());
    return this.#tokens.accessToken;
  }

  /** Call it when the server says that the token has expired. */
  expired(token: string = this.#tokens.accessToken): void {
    // Late news of a token that has been replaced since changes nothing.
    if (token === this.#tokens.accessToken) this.#isExpired = true;
  }

  /** `fetch` as this user, with a token that is renewed when it has expired: for the library. */
  readonly fetch: typeof fetch = async (input, init) => {
    const token = await this.token();
    const response = await send(input, init, token);
    if ((await refusal(response))?.code !== 'TOKEN_EXPIRED') return response;
    this.expired(token);
    return send(input, init, await this.token());
  };

  /**
   * The same, which also waits for a network that is away and a backend that is down. Use it where
   * all that is asked is safe to repeat: see the guide.
   */
  readonly retryingFetch: typeof fetch = (input, init) =>
    retrying(async () => {
      const response = await this.fetch(input, init);
      // A proxy whose server is away answers with a page of its own.
      if (response.status >= 502 && response.status <= 504 && !isJson(response))
        throw new Error(`${this.url} answered ${response.status}, and not with JSON`);
      const refused = await refusal(response);
      if (refused && mayPass(refused)) throw refused;
      return response;
    }, init?.signal ?? undefined);

  /** One operation as this user. */
  request<Data>(query: string, variables?: object): Promise<Data> {
    return post<Data>(this.url, query, variables, this.fetch);
  }

  async #refresh(): Promise<void> {
    try {
      const { refreshToken } = this.#tokens;
      const answer = await post<{ refreshSession: Tokens }>(this.url, REFRESH_SESSION, {
        refreshToken,
      });
      this.#tokens = answer.refreshSession;
      this.keep(this.#tokens);
      this.#isExpired = false;
    } finally {
      this.#refreshing = undefined;
    }
  }
}

function send(
  input: RequestInfo | URL,
  init: RequestInit | undefined,
  token?: string,
): Promise<Response> {
  const headers = new Headers(init?.headers);
  if (token) headers.set('authorization', `Bearer ${token}`);
  // Without a deadline a request on a dead connection waits for minutes.
  const deadline = AbortSignal.timeout(10_000);
  const signal = init?.signal ? AbortSignal.any([init.signal, deadline]) : deadline;
  return fetch(input, { ...init, headers, signal });
}

const isJson = (response: Response) =>
  /\bjson\b/.test(response.headers.get('content-type') ?? '');

/** What an answer refuses, without taking it from the library. */
async function refusal(response: Response): Promise<Refused | undefined> {
  if (!isJson(response)) return undefined;
  const { errors } = (await response.clone().json()) as { errors?: ErrorEntry[] };
  return errors?.[0] && new Refused(errors[0]);
}

/** One operation; throws what the server refuses. */
export async function post<Data>(
  url: string,
  query: string,
  variables?: object,
  ask: typeof fetch = send,
): Promise<Data> {
  const response = await ask(`${url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/graphql-response+json, application/json;q=0.9',
    },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = (await response.json().catch(() => {
    throw new Error(`${url} answered ${response.status}, and not with JSON`);
  })) as { data: Data; errors?: ErrorEntry[] };
  if (errors?.[0]) throw new Refused(errors[0]);
  return data;
}
