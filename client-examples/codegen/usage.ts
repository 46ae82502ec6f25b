// What an application's code looks like over the generated types. `tsc` checks it: the expected
// errors at the end are errors only while the types are as strict as the schema.
import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print } from 'graphql';

import { MessagesDocument, SendMessageDocument } from './generated/graphql.js';
import type { ErrorCode } from './generated/schema.js';

type Answer<Data> = {
  data?: Data | null;
  errors?: { message: string; extensions: { code: ErrorCode; retryAfter?: number } }[];
};

/** One function for all operations: the document brings the types of its variables and data. */
async function request<Data, Variables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const response = await fetch('/graphql', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: print(document), variables }),
  });
  const { data, errors } = (await response.json()) as Answer<Data>;
  const error = errors?.[0];
  if (error) throw new Error(explain(error.extensions.code));
  if (!data) throw new Error('The answer has no data.');
  return data;
}

/** A switch over the codes that the schema publishes; a misspelt one does not compile. */
function explain(code: ErrorCode): string {
  switch (code) {
    case 'UNAUTHENTICATED':
    case 'TOKEN_EXPIRED':
      return 'Sign in again.';
    case 'RATE_LIMITED':
      return 'Not so fast.';
    default:
      return 'That did not work.';
  }
}

export async function transcript(chatId: string): Promise<string[]> {
  const { chat } = await request(MessagesDocument, { chatId });
  // Null where the viewer has no such chat.
  if (!chat) return [];
  return chat.messages.edges.map(({ node: { seq, text } }) => `${seq}: ${text ?? '(deleted)'}`);
}

export async function say(chatId: string, text: string): Promise<number> {
  const variables = { chatId, text, clientMessageId: crypto.randomUUID() };
  const { sendMessage } = await request(SendMessageDocument, variables);
  // Null where it was refused, so that a refusal takes nothing from other fields; with one field
  // `request` has thrown.
  if (!sendMessage) throw new Error('The answer has no message.');
  return sendMessage.message.seq;
}

export async function mistakes() {
  // @ts-expect-error A variable is missing.
  await request(SendMessageDocument, { text: 'Hi', clientMessageId: '1' });
  const { sendMessage } = await request(SendMessageDocument, {
    chatId: 'cht_1',
    text: 'Hi',
    clientMessageId: '1',
  });
  // @ts-expect-error It is null where it was refused.
  sendMessage.message;
  // @ts-expect-error The operation does not ask for the text.
  sendMessage?.message.text;
}
