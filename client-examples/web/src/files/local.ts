// Images that were sent from this page: shown from here until the server's have come, so that nothing
// flickers where a message that was pending is there.
const MOST = 20;
const kept = new Map<string, Blob>();

export function keepLocal(attachmentId: string, blob: Blob): void {
  kept.delete(attachmentId);
  kept.set(attachmentId, blob);
  const [oldest] = kept.keys();
  if (kept.size > MOST && oldest !== undefined) kept.delete(oldest);
}

export const localOf = (attachmentId: string): Blob | undefined => kept.get(attachmentId);
