// What the server refuses, and what may be tried again.

/** An entry of `errors`, in an answer of GraphQL. */
export interface ErrorEntry {
  readonly message: string;
  readonly extensions?: Readonly<Record<string, unknown>> | undefined;
}

/** What the server refused, by the stable `code` that programs look at. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly code: string | undefined;
  /** The argument that the server complains of, as in `input.text`. */
  readonly field: string | undefined;
  /** After so many seconds another try may succeed. */
  readonly retryAfter: number | undefined;

  constructor({ message, extensions }: ErrorEntry) {
    super(message);
    this.code = extensions?.['code'] as string | undefined;
    this.field = extensions?.['field'] as string | undefined;
    this.retryAfter = extensions?.['retryAfter'] as number | undefined;
  }
}

const PASSING = ['UNAVAILABLE', 'RATE_LIMITED', 'SLOW_CONSUMER'];

/**
 * Whether the same request may succeed later. What is no `Refused` did not reach the server, or
 * its answer was lost.
 */
export const mayPass = (error: unknown): boolean =>
  !(error instanceof Refused) || PASSING.includes(error.code ?? '');

/** Waits before a try, the longer the more there were. */
export function backoff(tries: number, retryAfter?: number): Promise<void> {
  // The random part keeps all clients from meeting a restarted server at once.
  const seconds = retryAfter ?? Math.random() * Math.min(0.1 * 2 ** tries, 10);
  return new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
}

/** Asks until there is an answer. For what is safe to repeat: queries, and sending under one id. */
export async function retrying<Answer>(
  ask: () => Promise<Answer>,
  signal?: AbortSignal,
): Promise<Answer> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!mayPass(error) || tries === 10 || signal?.aborted) throw error;
      await backoff(tries, error instanceof Refused ? error.retryAfter : undefined);
    }
  }
}
