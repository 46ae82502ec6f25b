// Compares what a page keeps of a chat with what the server has. Knows neither of both: it is given them.
import type { MessageStateFragment } from '../generated/graphql.js';

type State = Pick<
  MessageStateFragment,
  'id' | 'seq' | 'changeSeq' | 'text' | 'editedAt' | 'deletedAt' | 'isPinned' | 'clientMessageId' | 'reactions'
>;

export interface Difference {
  /** How many messages of the server were compared. */
  readonly compared: number;
  /** They are not kept. */
  readonly lost: number;
  /** They are kept or shown more than once. */
  readonly doubled: number;
  /** They stand behind one that the server has behind them. */
  readonly disordered: number;
  /** They are kept as they were before a change. */
  readonly stale: number;
  /** They are kept, and the server does not have them. */
  readonly strange: number;
}

export const NONE: Difference = {
  compared: 0,
  lost: 0,
  doubled: 0,
  disordered: 0,
  stale: 0,
  strange: 0,
};

export const sum = (one: Difference, other: Difference): Difference => ({
  compared: one.compared + other.compared,
  lost: one.lost + other.lost,
  doubled: one.doubled + other.doubled,
  disordered: one.disordered + other.disordered,
  stale: one.stale + other.stale,
  strange: one.strange + other.strange,
});

export const isFaultless = ({ lost, doubled, disordered, stale, strange }: Difference): boolean =>
  lost + doubled + disordered + stale + strange === 0;

/**
 * `server` has all messages of the chat by their number, as they were when it was asked; `kept` all that
 * the page keeps by the number that it keeps them under, which may have gone on since; `pending` what the
 * page shows as not sent yet, by `clientMessageId`.
 */
export function judge(
  server: readonly State[],
  kept: readonly State[],
  pending: readonly string[] = [],
): Difference {
  const last = server.at(-1)?.seq ?? 0;
  const places = new Map(server.map(({ id }, place) => [id, place]));
  const seen = new Map<string, State>();
  let doubled = 0;
  let strange = 0;
  let disordered = 0;
  let highest = -1;
  for (const message of kept) {
    const place = places.get(message.id);
    if (seen.has(message.id)) doubled += 1;
    else if (place === undefined && message.seq <= last) strange += 1;
    else if (place !== undefined && place < highest) disordered += 1;
    seen.set(message.id, message);
    highest = Math.max(highest, place ?? -1);
  }
  const sent = new Set(server.map(({ clientMessageId }) => clientMessageId));
  doubled += pending.filter((id) => sent.has(id)).length;
  const lost = server.filter(({ id }) => !seen.has(id)).length;
  const stale = server.filter((message) => isStale(message, seen.get(message.id))).length;
  return { compared: server.length, lost, doubled, disordered, stale, strange };
}

/** The page may know of a later change than the answer. */
function isStale(message: State, kept: State | undefined): boolean {
  if (!kept || kept.changeSeq > message.changeSeq) return false;
  return kept.changeSeq < message.changeSeq || said(kept) !== said(message);
}

const said = ({ text, editedAt, deletedAt, isPinned, reactions }: State): string =>
  JSON.stringify([
    text,
    editedAt,
    deletedAt,
    isPinned,
    reactions.map(({ emoji, count, viewerHasReacted }) => [emoji, count, viewerHasReacted]),
  ]);
