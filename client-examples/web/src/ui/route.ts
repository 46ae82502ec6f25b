// Which chat is open: it stands in the address, so that back, reload and a second tab work. Each entry of the history
// keeps how many chats were opened since the list of them, so that who leaves a chat goes back to the list.
import { useSyncExternalStore } from 'react';

const listen = (listener: () => void) => {
  addEventListener('hashchange', listener);
  return () => removeEventListener('hashchange', listener);
};
const read = () => /^#\/chat\/([\w-]+)$/.exec(location.hash)?.[1] ?? null;
const CHATS = '#/';

export const useOpenChat = (): string | null => useSyncExternalStore(listen, read);
export const linkTo = (chatId: string): string => `#/chat/${chatId}`;
export const openChat = (chatId: string): void => {
  location.hash = linkTo(chatId);
};

/** How many entries back the list of chats is; null where it is not there. */
let depth: number | null = 0;
const mark = () => history.replaceState({ depth }, '');
const marked = () => (history.state as { depth: number | null } | null)?.depth ?? null;

/** Call it once, ahead of all that shows a chat. `isHiding` says whether an open chat hides the list. */
export function startRoute(isHiding: boolean): void {
  depth = read() === null ? 0 : marked();
  if (depth === null && isHiding) {
    // Behind a link that opened a chat, back shows the list, too.
    const { hash } = location;
    history.replaceState(null, '', CHATS);
    depth = 1;
    history.pushState({ depth }, '', hash);
  }
  mark();
  addEventListener('hashchange', ({ newURL }) => {
    if (newURL !== location.href) {
      // Another change has come behind it: its entry is not marked, and not counted on.
      depth = null;
      return;
    }
    // An entry that has no mark is new.
    if (read() === null) depth = 0;
    else if (history.state !== null) depth = marked();
    else if (depth !== null) depth += 1;
    mark();
  });
}

/** Milliseconds behind which the history has no such entry, as browsers forget the oldest. */
const BACK = 1_000;

/** Shows the list of chats, and no chat. */
export function leaveChat(): Promise<void> {
  if (read() === null) return Promise.resolve();
  return new Promise((resolve) => {
    const replace = () => location.replace(CHATS);
    const late = setTimeout(replace, BACK);
    const onChange = () => {
      clearTimeout(late);
      resolve();
    };
    addEventListener('hashchange', onChange, { once: true });
    if (depth) history.go(-depth);
    else replace();
  });
}

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
