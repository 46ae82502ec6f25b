// Which chat is open: it stands in the address, so that back, reload and a second tab work.
import { useSyncExternalStore } from 'react';

const listen = (listener: () => void) => {
  addEventListener('hashchange', listener);
  return () => removeEventListener('hashchange', listener);
};
const read = () => /^#\/chat\/([\w-]+)$/.exec(location.hash)?.[1] ?? null;

export const useOpenChat = (): string | null => useSyncExternalStore(listen, read);
export const linkTo = (chatId: string): string => `#/chat/${chatId}`;
export const openChat = (chatId: string | null): void => {
  location.hash = chatId === null ? '#/' : linkTo(chatId);
};

/** A message that is to be shown in a chat which is opened for it. */
interface Jump {
  readonly chatId: string;
  readonly seq: number;
  readonly cursor: string;
}

let wanted: Jump | null = null;
const jumps = new Set<() => void>();

/** Opens a chat at one of its messages. */
export function openAt(jump: Jump): void {
  wanted = jump;
  openChat(jump.chatId);
  for (const listener of jumps) listener();
}

/** Takes the jump that is meant for a chat, once. */
export function takeJump(chatId: string): Jump | null {
  if (wanted?.chatId !== chatId) return null;
  const jump = wanted;
  wanted = null;
  return jump;
}

export const onJump = (listener: () => void): (() => void) => {
  jumps.add(listener);
  return () => jumps.delete(listener);
};
