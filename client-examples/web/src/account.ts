// Puts the features of a signed-in user together: what is kept, what is to be sent, and the connection. Of
// all tabs of the user one at a time follows the account and sends.
import { forgetTexts } from './chat/kept-text.js';
import { Drafts } from './outbox/drafts.js';
import { Queue } from './outbox/queue.js';
import { Changes } from './replica/changes.js';
import { deleteDatabase, openDatabase, type Database } from './replica/database.js';
import { follow } from './replica/follow.js';
import { Replica } from './replica/replica.js';
import { State } from './replica/state.js';
import { Thread } from './replica/thread.js';
import { MarkReadDocument, PicturesDocument } from './generated/graphql.js';
import { Pictures, type AskPictures } from './files/pictures.js';
import { courierOf } from './outbox/courier.js';
import { ReadMarks } from './outbox/read-marks.js';
import { Connection } from './session/client.js';
import { Features } from './session/features.js';
import type { WebSession } from './session/session.js';

export class Account {
  readonly replica: Replica;
  readonly queue: Queue;
  readonly drafts: Drafts;
  readonly state: State;
  readonly connection: Connection;
  readonly features: Features;
  readonly pictures: Pictures;
  readonly readMarks: ReadMarks;
  /** Called where the account cannot be followed any more, as by a server that is too old for this page. */
  onProblem: (problem: unknown) => void = () => {};
  #closing = new AbortController();

  static async open(session: WebSession): Promise<Account> {
    const account = new Account(session, await openDatabase(session.userId));
    await account.state.load();
    void account.#sweep();
    void account.#lead();
    return account;
  }

  private constructor(
    readonly session: WebSession,
    database: Database,
    readonly changes = new Changes(`talksy-${session.userId}`),
  ) {
    this.replica = new Replica(database, changes);
    this.queue = new Queue(this.replica, changes);
    this.drafts = new Drafts(database, changes);
    this.state = new State(this.replica, changes);
    this.connection = new Connection(session);
    this.features = new Features(this.connection);
    this.pictures = new Pictures(askPictures(this.connection));
    this.readMarks = new ReadMarks(
      (chatId, seq) => this.connection.mutate(MarkReadDocument, { chatId, seq }),
      this.#closing.signal,
    );
    // Chats go when the user leaves them, and may be missing when all are loaded anew.
    changes.listen(({ dropped, viewer }) => {
      if (dropped?.length || viewer) void this.#sweep();
    });
  }

  get userId(): string {
    return this.session.userId;
  }

  thread(chatId: string): Thread {
    return new Thread(chatId, this.replica, this.connection.source, this.changes);
  }

  /** Signs out: nothing of the user stays on the device. */
  async signOut(): Promise<void> {
    await this.session.signOut();
    await this.#erase();
  }

  /** The account is no more, and its sessions with it. */
  async forget(): Promise<void> {
    this.session.end();
    await this.#erase();
  }

  /** Forgets what was being written in chats that are not there any more. */
  async #sweep() {
    try {
      const chatIds = await this.drafts.sweep();
      if (chatIds) forgetTexts(this.userId, chatIds);
    } catch {
      // The database is closed when the tab is; the next one does it.
    }
  }

  async #erase() {
    await deleteDatabase(this.userId);
    forgetTexts(this.userId);
  }

  close(): void {
    this.#closing.abort();
    this.connection.close();
    this.changes.close();
    this.replica.database.close();
  }

  /** Waits until no other tab does it, and then follows and sends for all of them. */
  async #lead(): Promise<void> {
    const { signal } = this.#closing;
    const run = async () => {
      const { source } = this.connection;
      const sending = this.queue.send(courierOf(this.connection), signal);
      await Promise.all([follow(this.replica, source, signal), sending]);
    };
    try {
      if (!navigator.locks) await run();
      else await navigator.locks.request(`talksy-lead-${this.userId}`, { signal }, run);
    } catch (problem) {
      if (!signal.aborted) this.onProblem(problem);
    }
  }
}

const askPictures =
  (connection: Connection): AskPictures =>
  async (ids) => {
    const { nodes } = await connection.query(PicturesDocument, { ids: [...ids] });
    const told = nodes.map((node, at) => {
      const picture = node?.__typename === 'User' ? node.avatar : node?.__typename === 'Attachment' ? node : null;
      return [ids[at] ?? '', picture ?? null] as const;
    });
    return new Map(told);
  };
