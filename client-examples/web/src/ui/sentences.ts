// What went wrong, in words for people. The server's own sentence is shown where it says what to do about
// a field.
import type { ErrorCode } from '../generated/graphql.js';
import { Refused } from '../talksy/refused.js';

const ASK_OPERATOR = 'Something in this page does not fit the server. Reload it, or tell who runs the server.';
const SIGN_IN = 'You have been signed out. Please sign in again.';

/** A sentence for each code: the compiler asks for one where the schema has a new one. */
export const SENTENCES: Readonly<Record<ErrorCode, string>> = {
  BAD_REQUEST: ASK_OPERATOR,
  BAD_USER_INPUT: 'This cannot be taken as it is.',
  CONFLICT: 'Somebody has changed this in the meantime. Look at it again.',
  FORBIDDEN: 'You may not do this.',
  GRAPHQL_PARSE_FAILED: ASK_OPERATOR,
  GRAPHQL_VALIDATION_FAILED: ASK_OPERATOR,
  INTERNAL: 'The server has a problem of its own. Please try again later.',
  NOT_FOUND: 'This is not there any more.',
  OTP_EXPIRED: 'This code has expired. Ask for a new one.',
  OTP_INVALID: 'This is not the code of the mail. Check the digits, or ask for a new one.',
  PAYLOAD_TOO_LARGE: 'This is too large to be sent.',
  PERSISTED_QUERY_NOT_FOUND: ASK_OPERATOR,
  PERSISTED_QUERY_NOT_SUPPORTED: ASK_OPERATOR,
  PERSISTED_QUERY_ONLY: ASK_OPERATOR,
  QUERY_TOO_COMPLEX: ASK_OPERATOR,
  RATE_LIMITED: 'That was a little too fast. Please wait a moment.',
  RESPONSE_TOO_LARGE: 'The answer is too large to be shown.',
  RESYNC_REQUIRED: 'The server has been restored. Your chats are being loaded again.',
  SLOW_CONSUMER: 'The connection is slow. Your chats are catching up.',
  SUSPENDED: 'This account is suspended. Ask who runs this server what it is about.',
  TIMEOUT: 'The server took too long. Look whether it has worked before you try again.',
  TOKEN_EXPIRED: SIGN_IN,
  TOKEN_REUSED: SIGN_IN,
  UNAUTHENTICATED: SIGN_IN,
  UNAVAILABLE: 'The server is away for the moment. Please try again.',
};

/** How long to wait, in words. */
function waitOf(seconds: number): string {
  if (seconds < 90) return `Please wait ${Math.ceil(seconds)} seconds.`;
  return `Please wait ${Math.ceil(seconds / 60)} minutes.`;
}

export const sentenceOfCode = (code: string | null | undefined): string =>
  SENTENCES[code as ErrorCode] ?? SENTENCES.INTERNAL;

/** What went wrong, for people. */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Refused)) return 'There is no connection. Please try again.';
  if (error.code === 'RATE_LIMITED' && error.retryAfter) {
    return `That was a little too fast. ${waitOf(error.retryAfter)}`;
  }
  if (['BAD_USER_INPUT', 'CONFLICT', 'SUSPENDED'].includes(error.code ?? '')) return error.message;
  return sentenceOfCode(error.code);
}
