// What a server can do, asked before anything else: so that a client which meets an older or a newer
// one decides, in place of failing at the first document that has a field too many.
import { Refused } from './refused.js';
import { post } from './session.js';

const SERVER = /* GraphQL */ `
  query Server {
    server {
      version
      schemaHash
      features
    }
  }
`;

export interface Server {
  readonly version: string;
  readonly schemaHash: string;
  readonly features: readonly string[];
}

/** What the server says of itself. Needs no token. */
export async function askServer(url: string, ask?: typeof fetch): Promise<Server> {
  try {
    return (await post<{ server: Server }>(url, SERVER, undefined, ask)).server;
  } catch (error) {
    // One that does not know the question is older than all features, or so unlike that none helps.
    if (!(error instanceof Refused) || error.code !== 'GRAPHQL_VALIDATION_FAILED') throw error;
    return { version: '0.0.0', schemaHash: '', features: [] };
  }
}

/** What a client is made for. */
export interface Needs {
  /** The version of the server whose schema its types are of. */
  readonly madeFor: string;
  /** The features without which it does not work. */
  readonly required: readonly string[];
  /** Those that it uses where they are there. */
  readonly optional: readonly string[];
}

export interface Decision {
  /** What is missing of what is required. Where there is any, the client stops here. */
  readonly missing: readonly string[];
  /** Which of the two the user is asked to have updated then. */
  readonly tooOld: 'server' | 'client' | undefined;
  /** The optional features that are there. */
  readonly usable: ReadonlySet<string>;
}

/** Decides by features; names that the client does not know, of a newer server, do no harm. */
export function decide(server: Server, { madeFor, required, optional }: Needs): Decision {
  const there = new Set(server.features);
  const missing = required.filter((name) => !there.has(name));
  // Only who is told what to do needs the version.
  const tooOld = isBefore(server.version, madeFor) ? 'server' : 'client';
  return {
    missing,
    tooOld: missing.length > 0 ? tooOld : undefined,
    usable: new Set(optional.filter((name) => there.has(name))),
  };
}

/** Whether a version is before another, by their numbers. */
function isBefore(version: string, other: string): boolean {
  const numbers = (text: string) => text.split(/[.+-]/, 3).map(Number);
  const others = numbers(other);
  const at = numbers(version).findIndex((number, place) => number !== others[place]);
  return at >= 0 && (numbers(version)[at] ?? 0) < (others[at] ?? 0);
}
