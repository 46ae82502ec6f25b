// What this client needs of a server, and what it does without.
import { graphql } from './graphql.js';
import type { Decision, Needs } from './talksy/server.js';

export const NEEDS: Needs = {
  madeFor: '0.1.0',
  required: ['directChats', 'graphqlTransportWs', 'resume'],
  optional: ['muteChat'],
};

const CHATS = graphql(`
  query Chats {
    chats(first: 50) {
      nodes {
        id
        title
      }
    }
  }
`);

const CHATS_WITH_MUTED = graphql(`
  query ChatsWithMuted {
    chats(first: 50) {
      nodes {
        id
        title
        isMutedByViewer
      }
    }
  }
`);

/** The document for a server: a field that it does not have would fail the whole document. */
export const chatsDocument = ({ usable }: Decision) =>
  usable.has('muteChat') ? CHATS_WITH_MUTED : CHATS;
