// How far the others have read, which two ticks show, and what is new to the viewer.
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
  if (others.length === 0 || members.length !== memberCount) return told;
  return Math.max(told, Math.min(...others.map(({ user, lastReadSeq }) => Math.max(lastReadSeq, reads[user.id]?.seq ?? 0))));
}

/** The first message from `seq` on that somebody else has sent; that of `seq` itself where all are the viewer's. */
export function newFrom(
  messages: readonly { readonly seq: number; readonly sender: { readonly id: string } | null }[],
  seq: number,
  viewerId: string,
): number | undefined {
  const behind = messages.filter((message) => message.seq >= seq);
  return (behind.find(({ sender }) => sender?.id !== viewerId) ?? behind[0])?.seq;
}
