// What the server can do. Where it cannot be asked, what it said last stands.
import { useSyncExternalStore } from 'react';

import type { Connection } from './client.js';
import { ServerStateDocument } from '../generated/graphql.js';
import { useAccount } from '../ui/parts.js';

const KEY = 'talksy.features';

export class Features {
  #names: ReadonlySet<string>;
  #listeners = new Set<() => void>();

  constructor(readonly connection: Connection) {
    this.#names = new Set((localStorage.getItem(KEY) ?? '').split(' '));
    // A server that was restarted may be another.
    connection.socket.on('connected', () => void this.#ask());
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  has(name: string): boolean {
    return this.#names.has(name);
  }

  async #ask() {
    try {
      const { server } = await this.connection.query(ServerStateDocument, {});
      const told = server.features.join(' ');
      if (told === [...this.#names].join(' ')) return;
      localStorage.setItem(KEY, told);
      this.#names = new Set(server.features);
      for (const listener of this.#listeners) listener();
    } catch {
      // With the next connection.
    }
  }
}

/** Whether the server has a feature, by its name in `Server.features`. */
export function useFeature(name: string): boolean {
  const { features } = useAccount();
  return useSyncExternalStore(features.subscribe, () => features.has(name));
}
