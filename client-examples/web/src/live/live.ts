// What is not kept: who is there, who types, and whether there is a connection.
import { createContext, useContext, useEffect, useRef, useState, useSyncExternalStore } from 'react';

import {
  PresenceChangedDocument,
  SetTypingDocument,
  TypingChangedDocument,
} from '../generated/graphql.js';
import { useAccount, useRested } from '../ui/parts.js';

/** Which of these users are online; the first 100 are watched. Call it once: see `Online`. */
export function useWatchOnline(userIds: readonly string[]): ReadonlySet<string> {
  const { connection } = useAccount();
  const [online, setOnline] = useState<ReadonlySet<string>>(new Set());
  const key = useRested([...new Set(userIds)].slice(0, 100).sort().join(' '), 200);
  useEffect(() => {
    if (key === '') return;
    return connection.watch(PresenceChangedDocument, { userIds: key.split(' ') }, (data) => {
      const { status, user } = data.presenceChanged;
      setOnline((known) => {
        const next = new Set(known);
        if (status === 'ONLINE') next.add(user.id);
        else next.delete(user.id);
        return next;
      });
    });
  }, [connection, key]);
  return online;
}

const Online = createContext<ReadonlySet<string>>(new Set());
export const OnlineProvider = Online.Provider;
export const useOnline = (): ReadonlySet<string> => useContext(Online);

/** The names of the other members who type. */
export function useTyping(chatId: string): readonly string[] {
  const { connection, userId } = useAccount();
  const [typing, setTyping] = useState<ReadonlyMap<string, string>>(new Map());
  useEffect(() => {
    const timers = new Map<string, ReturnType<typeof setTimeout>>();
    const drop = (id: string) =>
      setTyping((known) => new Map([...known].filter(([other]) => other !== id)));
    setTyping(new Map());
    const end = connection.watch(TypingChangedDocument, { chatId }, ({ typingChanged }) => {
      const { isTyping, user } = typingChanged;
      clearTimeout(timers.get(user.id));
      if (!isTyping || user.id === userId) return drop(user.id);
      setTyping((known) => new Map(known).set(user.id, user.name));
      // Where the word that they stopped is lost.
      timers.set(user.id, setTimeout(() => drop(user.id), 7_000));
    });
    return () => {
      end();
      for (const timer of timers.values()) clearTimeout(timer);
    };
  }, [connection, chatId, userId]);
  return [...typing.values()];
}

/** Tells the others that the viewer types; call it at each change of the text. */
export function useTellTyping(chatId: string): (isTyping: boolean) => void {
  const { connection } = useAccount();
  const toldAt = useRef(0);
  return (isTyping) => {
    const isRecent = Date.now() - toldAt.current < 3_000;
    if (isTyping ? isRecent : toldAt.current === 0) return;
    toldAt.current = isTyping ? Date.now() : 0;
    // It is no matter where it is lost.
    connection.mutate(SetTypingDocument, { chatId, isTyping }).catch(() => {});
  };
}

const onNetwork = (listener: () => void) => {
  addEventListener('online', listener);
  addEventListener('offline', listener);
  return () => {
    removeEventListener('online', listener);
    removeEventListener('offline', listener);
  };
};

/** Whether the connection is away, for longer than a renewal takes. */
export function useIsAway(): boolean {
  const { connection } = useAccount();
  const link = useSyncExternalStore(connection.onLink, connection.link);
  const isOnline = useSyncExternalStore(onNetwork, () => navigator.onLine);
  const rested = useRested(link, 2_000);
  return !isOnline || (link === 'broken' && rested === 'broken');
}
