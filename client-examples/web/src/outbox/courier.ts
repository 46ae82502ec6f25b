// Brings what the queue holds to the server.
import type { Courier } from './queue.js';
import {
  AddReactionDocument,
  CreateUploadDocument,
  DeleteMessageDocument,
  EditMessageDocument,
  PinMessageDocument,
  RemoveReactionDocument,
  SendMessageDocument,
  type MessageStateFragment,
} from '../generated/graphql.js';
import type { Task } from '../replica/database.js';
import type { Connection } from '../session/client.js';
import { SERVER } from '../session/session.js';
import { Refused, type ErrorEntry } from '../talksy/refused.js';

/** How long the URL of an upload is taken to be good: the server says 15 minutes, by its own clock. */
const MINUTES_12 = 720_000;

export function courierOf(connection: Connection): Courier {
  return {
    announce: async ({ name, type, byteSize }) => {
      const variables = { fileName: name, contentType: type, byteSize };
      const { createUpload } = await connection.mutate(CreateUploadDocument, variables);
      const { attachmentId, url } = told(createUpload);
      return { attachmentId, url, expiresAt: Date.now() + MINUTES_12 };
    },
    put,
    deliver: async ({ chatId, text, replyToId, mentionIds, clientMessageId }, attachmentIds) => {
      const input = {
        ...{ chatId, clientMessageId, replyToId },
        text: text === '' ? null : text,
        mentionIds: mentionIds.length > 0 ? [...mentionIds] : null,
        attachmentIds: attachmentIds.length > 0 ? [...attachmentIds] : null,
      };
      return told((await connection.mutate(SendMessageDocument, { input })).sendMessage).message;
    },
    change: (task) => change(connection, task),
  };
}

async function change(connection: Connection, { messageId, change }: Task): Promise<MessageStateFragment> {
  switch (change.kind) {
    case 'edit': {
      const variables = { messageId, text: change.text, mentionIds: [...change.mentionIds] };
      return told((await connection.mutate(EditMessageDocument, variables)).editMessage).message;
    }
    case 'delete':
      return told((await connection.mutate(DeleteMessageDocument, { messageId })).deleteMessage).message;
    case 'pin': {
      const variables = { messageId, isPinned: change.isOn };
      return told((await connection.mutate(PinMessageDocument, variables)).pinMessage).message;
    }
    case 'react': {
      const variables = { messageId, emoji: change.emoji };
      if (!change.isOn) {
        return told((await connection.mutate(RemoveReactionDocument, variables)).removeReaction).message;
      }
      return told((await connection.mutate(AddReactionDocument, variables)).addReaction).message;
    }
  }
}

function told<Payload>(payload: Payload | null | undefined): Payload {
  if (!payload) throw new Error('The answer is empty.');
  return payload;
}

/** A PUT that tells how far it is, which `fetch` cannot. Behind a minute without progress it is given up. */
export function put(
  url: string,
  blob: Blob,
  onProgress: (done: number) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const request = new XMLHttpRequest();
    let idle: ReturnType<typeof setTimeout>;
    const move = () => {
      clearTimeout(idle);
      idle = setTimeout(() => request.abort(), 60_000);
    };
    const abort = () => request.abort();
    let toldAt = 0;
    request.upload.onprogress = ({ loaded, total }) => {
      move();
      const now = Date.now();
      if (now - toldAt < 150 && loaded < total) return;
      toldAt = now;
      onProgress(total > 0 ? loaded / total : 0);
    };
    request.onloadend = () => {
      clearTimeout(idle);
      signal.removeEventListener('abort', abort);
    };
    request.onload = () => {
      // 409: it was received before, and the answer was lost.
      if ((request.status >= 200 && request.status < 300) || request.status === 409) return resolve();
      reject(refusalOf(request));
    };
    request.onerror = request.onabort = request.ontimeout = () => reject(new TypeError('The upload was cut off.'));
    signal.addEventListener('abort', abort);
    request.open('PUT', url.startsWith('/') ? SERVER + url : url);
    // As it was announced; without it the browser adds a type of its own.
    request.setRequestHeader('content-type', 'application/octet-stream');
    move();
    request.send(blob);
  });
}

function refusalOf({ status, responseText }: XMLHttpRequest): unknown {
  try {
    const { errors } = JSON.parse(responseText) as { errors?: ErrorEntry[] };
    if (errors?.[0]) return new Refused(errors[0]);
  } catch {
    // A proxy's page.
  }
  if (status === 413) return new Refused({ message: 'Too large.', extensions: { code: 'PAYLOAD_TOO_LARGE' } });
  return new TypeError(`The upload was answered ${status}.`);
}
