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
