// Opens GraphiQL as one of the demo's people, with a tour of the API in its tabs. The token goes from this page
// to that one, and stands in no address, no history and no storage.
import live from '../../tour/live.graphql?raw';
import me from '../../tour/me.graphql?raw';
import mentions from '../../tour/mentions.graphql?raw';
import metadata from '../../tour/metadata.graphql?raw';
import react from '../../tour/react.graphql?raw';
import reacted from '../../tour/reacted.graphql?raw';
import replies from '../../tour/replies.graphql?raw';
import thread from '../../tour/thread.graphql?raw';
import unread from '../../tour/unread.graphql?raw';
import type { Place } from './compare.js';

/** A tab: what is asked, and with which values. `client-examples/graphiql/src/handed.js` takes it. */
interface Tab {
  readonly query: string;
  readonly variables: string;
}

const tab = (about: string, query: string, variables: object = {}): Tab => ({
  query: `# ${about}\n\n${query}`,
  variables: JSON.stringify(variables, null, 2),
});

/** The tour, in a chat of the one who is signed in. */
const tour = ({ chatId, messageId, seq }: Place): Tab[] => [
  tab('1 · WHO AM I, and what are my chats? Ctrl-Enter runs what the cursor is in.', me),
  tab('2 · A CHAT: its last messages, with reactions, and what is pinned.', thread, { chat: chatId }),
  tab('3 · LIVE: run it, and wait for the bot, or send from the demo.', live, { chat: chatId }),
  tab('4 · SEND, with data of your application beside the text.', metadata, {
    input: { chatId, text: 'Hello from GraphiQL', metadata: { mood: 'curious' } },
  }),
  tab('5 · REACT, and pin.', react, { message: messageId }),
  tab('6 · WHO HAS REACTED?', reacted, { message: messageId, after: null }),
  tab('7 · REPLIES of a message.', replies, { message: messageId, after: null }),
  tab('8 · MARK AS UNREAD, from a message on.', unread, { chat: chatId, fromSeq: seq }),
  tab('9 · ALL CHATS, as they change.', mentions),
];

/** Opens it in a tab of its own, which is given the token when it asks. */
export function openGraphiql(token: () => Promise<string>, place: () => Promise<Place>): void {
  const opened = window.open('/graphiql', '_blank');
  if (!opened) return;
  const hand = async ({ source, origin, data }: MessageEvent) => {
    if (source !== opened || origin !== location.origin || data !== 'talksy-graphiql') return;
    const headers = JSON.stringify({ Authorization: `Bearer ${await token()}` }, null, 2);
    opened.postMessage({ talksy: { headers, tabs: tour(await place()) } }, location.origin);
  };
  // It asks again when it is loaded anew.
  addEventListener('message', (event) => void hand(event));
}
