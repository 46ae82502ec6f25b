// Lets the subscriptions of graphql-ws resume, below whatever library uses it. Without this,
// libraries read `after` once, when a subscription starts: behind each later connection messages
// are lost or come again, without an error.
import type { FormattedExecutionResult } from 'graphql';
import type { Client } from 'graphql-ws';

import { Refused, backoff, mayPass, type ErrorEntry } from './refused.js';

/** The fields that take `after`. Select `cursor` in them, and give them no alias. */
const RESUMABLE = ['messageAdded', 'messageUpdated', 'accountEvents'];

interface Position {
  readonly checkpoint: string;
  readonly since?: readonly string[] | undefined;
}

interface Told {
  readonly __typename?: string;
  readonly cursor?: string;
  readonly chatId?: string;
  readonly chat?: { readonly id: string };
  readonly message?: { readonly chat?: { readonly id: string } };
  readonly receipt?: { readonly chat?: { readonly id: string } };
}

/** The place behind the last event of a subscription. */
export class Place {
  #after: unknown;
  #checkpoint: string | undefined;
  #since = new Map<string, string>();

  constructor(after: unknown) {
    if (after !== null && typeof after === 'object') {
      const { checkpoint, since = [] } = after as Position;
      this.#checkpoint = checkpoint;
      for (const cursor of since) this.#since.set(cursor, cursor);
    } else {
      this.#after = after;
    }
  }

  /** The `after` with which the subscription goes on; undefined for one from the present. */
  get after(): unknown {
    if (this.#checkpoint === undefined) return this.#after;
    return { checkpoint: this.#checkpoint, since: [...this.#since.values()] };
  }

  /** Call it when an event has been applied. */
  advance(data: Readonly<Record<string, unknown>>): void {
    const field = RESUMABLE.find((name) => data[name]);
    if (!field) return;
    const told = data[field] as Told;
    const { cursor } = told;
    if (!cursor) throw new TypeError(`Select \`cursor\` in \`${field}\`: it resumes by it.`);
    if (field !== 'accountEvents') {
      this.#after = cursor;
    } else if (told.__typename === 'AccountCheckpoint') {
      this.#checkpoint = cursor;
      this.#since.clear();
    } else if (told.__typename !== 'ViewerChanged') {
      const chat = told.chat ?? told.message?.chat ?? told.receipt?.chat;
      const id = told.chatId ?? chat?.id;
      // A kind of a newer server: what it tells comes again.
      if (id) this.#since.set(id, cursor);
    }
  }
}

/** The same client, with subscriptions that go on behind what they last had. */
export function resuming(client: Client): Client {
  const subscribe: Client['subscribe'] = (payload, sink) => {
    const place = new Place(payload.variables?.['after']);
    const variables = {
      ...payload.variables,
      // graphql-ws sends the payload anew on each connection. This is read when it is sent.
      get after() {
        return place.after;
      },
    };
    let end = () => {};
    let isOver = false;
    let tries = 0;

    const refuse = (errors: unknown) => {
      const refused = Array.isArray(errors) ? new Refused(errors[0] as ErrorEntry) : undefined;
      if (!refused || !mayPass(refused)) return sink.error(errors);
      // The server ended it for the moment, as where it was read too slowly.
      end();
      tries += 1;
      void backoff(tries, refused.retryAfter).then(() => isOver || start());
    };
    const start = () => {
      let isEnded = false;
      end = client.subscribe<Record<string, unknown>, unknown>({ ...payload, variables }, {
        next: (result) => {
          if (isEnded) return;
          if (result.errors && !result.data) {
            isEnded = true;
            return refuse(result.errors);
          }
          tries = 0;
          // First the event is applied, then the place is kept, and nothing is awaited between.
          sink.next(result as FormattedExecutionResult<never, never>);
          if (result.data) place.advance(result.data);
        },
        error: (errors) => {
          if (!isEnded) refuse(errors);
          isEnded = true;
        },
        complete: () => {
          if (!isEnded) sink.complete();
        },
      });
    };
    start();
    return () => {
      isOver = true;
      end();
    };
  };
  return { ...client, subscribe };
}
