// A chat over HTTP and graphql-ws, without any other library: a page of messages, then the two lines
// of what is added and what is changed.
import { randomUUID } from 'node:crypto';

import type { ResultOf, TadaDocumentNode } from 'gql.tada';
import { print, type GraphQLFormattedError } from 'graphql';
import type { Client } from 'graphql-ws';

import { graphql } from './graphql.js';
import { Refused, retrying } from './talksy/refused.js';
import type { Session } from './talksy/session.js';

// Select `changeSeq` of every message: of two states the one with the greater number is the newer.
const MESSAGE_FIELDS = graphql(`
  fragment MessageFields on Message @_unmask {
    id
    seq
    changeSeq
    text
  }
`);

const START_CHAT = graphql(`
  mutation StartChat($userId: ID!) {
    startChat(input: { userId: $userId }) {
      chat {
        id
      }
    }
  }
`);

const MESSAGES = graphql(
  `
    query Messages($chatId: ID!, $last: Int!, $before: String) {
      chat(id: $chatId) {
        headCursor
        messages(last: $last, before: $before) {
          nodes {
            ...MessageFields
          }
          pageInfo {
            hasPreviousPage
            startCursor
          }
        }
      }
    }
  `,
  [MESSAGE_FIELDS],
);

const SEND_MESSAGE = graphql(
  `
    mutation SendMessage($chatId: ID!, $text: String!, $clientMessageId: String!) {
      sendMessage(input: { chatId: $chatId, text: $text, clientMessageId: $clientMessageId }) {
        message {
          cursor
          ...MessageFields
        }
      }
    }
  `,
  [MESSAGE_FIELDS],
);

const EDIT_MESSAGE = graphql(
  `
    mutation EditMessage($messageId: ID!, $text: String!) {
      editMessage(input: { messageId: $messageId, text: $text }) {
        message {
          ...MessageFields
        }
      }
    }
  `,
  [MESSAGE_FIELDS],
);

const MESSAGE_ADDED = graphql(
  `
    subscription MessageAdded($chatId: ID!, $after: String) {
      messageAdded(chatId: $chatId, after: $after) {
        cursor
        node {
          ...MessageFields
        }
      }
    }
  `,
  [MESSAGE_FIELDS],
);

const MESSAGE_UPDATED = graphql(
  `
    subscription MessageUpdated($chatId: ID!, $after: String) {
      messageUpdated(chatId: $chatId, after: $after) {
        cursor
        message {
          ...MessageFields
        }
      }
    }
  `,
  [MESSAGE_FIELDS],
);

export type Message = ResultOf<typeof MESSAGE_FIELDS>;

export interface Edge {
  readonly cursor: string;
  readonly node: Message;
}

/** One operation as this user; a network that is away and a backend that is down are waited for. */
function request<Data, Variables extends object>(
  session: Session,
  document: TadaDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  return retrying(() => session.request<Data>(print(document), variables));
}

/** Starts the chat with another user, or finds the one there is. */
export async function startChat(session: Session, userId: string): Promise<string> {
  const { startChat } = await request(session, START_CHAT, { userId });
  if (!startChat) throw new Error('The answer has no chat.');
  return startChat.chat.id;
}

/** A message, and its place, behind which the chat can be followed. */
export type Sent = Message & { readonly cursor: string };

/** Sends a message, once, however often that has to be tried. */
export async function send(session: Session, chatId: string, text: string): Promise<Sent> {
  // One id for the message, not for the try: where the message was stored and only the answer
  // was lost, the next try gets the first message instead of a second one.
  const variables = { chatId, text, clientMessageId: randomUUID() };
  const { sendMessage } = await request(session, SEND_MESSAGE, variables);
  if (!sendMessage) throw new Error('The answer has no message.');
  return sendMessage.message;
}

/** Gives a message of the user another text. */
export async function edit(session: Session, messageId: string, text: string): Promise<Message> {
  const { editMessage } = await request(session, EDIT_MESSAGE, { messageId, text });
  if (!editMessage) throw new Error('The answer has no message.');
  return editMessage.message;
}

/** Calls `onData` with each event; `onEnd` where the server ends it for good. */
function subscribe<Data, Variables extends Record<string, unknown>>(
  socket: Client,
  document: TadaDocumentNode<Data, Variables>,
  variables: Variables,
  onData: (data: Data) => void,
  onEnd: (problem: unknown) => void,
): () => void {
  const payload = { query: print(document), variables };
  return socket.subscribe<Data, unknown>(payload, {
    next: ({ data, errors }) => {
      if (data) onData(data as Data);
      else if (errors?.[0]) onEnd(new Refused(errors[0]));
    },
    error: (problem) => {
      const errors = problem as readonly GraphQLFormattedError[];
      onEnd(Array.isArray(problem) && errors[0] ? new Refused(errors[0]) : problem);
    },
    complete: () => {},
  });
}

/** Every message behind `after`, each once and in order, across any number of connections. */
export function follow(
  socket: Client,
  chatId: string,
  after: string,
  onEdge: (edge: Edge) => void,
  onEnd: (problem: unknown) => void,
): () => void {
  const tell = ({ messageAdded }: { messageAdded: Edge }) => onEdge(messageAdded);
  return subscribe(socket, MESSAGE_ADDED, { chatId, after }, tell, onEnd);
}

/** The messages of a chat, kept up to date. */
export class Thread {
  #messages = new Map<number, Message>();
  #startCursor: string | null = null;
  #ends: (() => void)[] = [];

  constructor(
    readonly session: Session,
    readonly socket: Client,
    readonly chatId: string,
    /** The server refused to go on, as where the user is no member any more. */
    readonly onEnd: (problem: unknown) => void,
    /** How many messages a page has. */
    readonly pageSize = 50,
  ) {}

  /** Oldest first. */
  get messages(): Message[] {
    return [...this.#messages.values()].sort((a, b) => a.seq - b.seq);
  }

  /** Loads the newest page and follows the chat from there. */
  async open(): Promise<void> {
    const chat = await this.#load(null);
    const variables = { chatId: this.chatId, after: chat.headCursor };
    // Both lines begin where the page was read: what happens in between comes with them.
    this.#ends = [
      follow(this.socket, this.chatId, chat.headCursor, ({ node }) => this.#keep(node), this.#ended),
      subscribe(
        this.socket,
        MESSAGE_UPDATED,
        variables,
        // The change of a message that is not kept lies ahead of what was loaded.
        ({ messageUpdated: { message } }) => this.#messages.has(message.seq) && this.#keep(message),
        this.#ended,
      ),
    ];
  }

  /** Loads the page ahead of the first message that is there; false at the start of the chat. */
  async older(): Promise<boolean> {
    if (this.#startCursor === null) return false;
    await this.#load(this.#startCursor);
    return this.#startCursor !== null;
  }

  close(): void {
    for (const end of this.#ends) end();
    this.#ends = [];
  }

  async #load(before: string | null) {
    const variables = { chatId: this.chatId, last: this.pageSize, before };
    const { chat } = await request(this.session, MESSAGES, variables);
    if (!chat) throw new Error('The user has no such chat.');
    chat.messages.nodes.forEach((message) => this.#keep(message));
    const { hasPreviousPage, startCursor } = chat.messages.pageInfo;
    this.#startCursor = hasPreviousPage ? startCursor : null;
    return chat;
  }

  /** Of two states of a message the one with the greater `changeSeq` is the newer. */
  #keep(message: Message) {
    const known = this.#messages.get(message.seq);
    if (!known || known.changeSeq <= message.changeSeq) this.#messages.set(message.seq, message);
  }

  readonly #ended = (problem: unknown) => {
    // One of the two lines has ended, or both: no event comes twice.
    if (this.#ends.length === 0) return;
    this.close();
    if (!(problem instanceof Refused) || problem.code !== 'RESYNC_REQUIRED') {
      return this.onEnd(problem);
    }
    // More was missed than is replayed.
    this.#messages.clear();
    this.open().catch(this.onEnd);
  };
}
