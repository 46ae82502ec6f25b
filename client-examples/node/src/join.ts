import { follow, send, startChat } from './chat.js';
import { resuming } from './talksy/resuming.js';
import { Session } from './talksy/session.js';
import { createSocket, type SocketOptions } from './talksy/socket.js';

interface Options extends SocketOptions {
  /** Asks for the digits that came by mail. */
  readCode: () => Promise<string>;
  /** Shows what was said. */
  show: (text: string) => void;
}

/** Signs in, and opens the chat with another user, new or as it was. */
export async function join(url: string, email: string, userId: string, options: Options) {
  const session = await Session.signIn(url, email, options.readCode);
  const socket = resuming(createSocket(session, options));
  const chatId = await startChat(session, userId);

  // Sent once, however often that has to be tried.
  const say = (text: string) => send(session, chatId, text);

  // What comes behind it, each message once and in order, also after a time without a network.
  const { cursor } = await say('Hello!');
  const leave = follow(socket, chatId, cursor, ({ node }) => options.show(node.text ?? ''), console.error);
  return { chatId, say, leave };
}
