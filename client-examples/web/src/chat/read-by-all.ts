// How far all others have read, which two ticks show.
import type { Chat, Member } from '../replica/database.js';

type Reader = Pick<Member, 'lastReadSeq'> & { readonly user: { readonly id: string } };

/**
 * Up to which message every other member has read; 0 where it is not told. The server's `readByAllSeq` is of when the
 * chat was told; what each has read since comes as receipts, which say it where all members are known.
 */
export function readByAll(
  { kind, readByAllSeq, memberCount, reads, peer }: Pick<Chat, 'kind' | 'readByAllSeq' | 'memberCount' | 'reads' | 'peer'>,
  members: readonly Reader[],
  viewerId: string,
): number {
  const told = readByAllSeq ?? 0;
  if (kind === 'DIRECT') return Math.max(told, (peer && reads[peer.id]?.seq) ?? 0);
  const others = members.filter(({ user }) => user.id !== viewerId);
  if (readByAllSeq === null || others.length === 0 || members.length !== memberCount) return told;
  return Math.max(told, Math.min(...others.map(({ user, lastReadSeq }) => Math.max(lastReadSeq, reads[user.id]?.seq ?? 0))));
}
