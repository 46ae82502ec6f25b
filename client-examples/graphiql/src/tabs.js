// What a newcomer finds: the way from signing in to a live chat, in three tabs.

/** The header editor of a fresh tab. Without a token the header is not sent. */
export const defaultHeaders = `{
  "Authorization": "Bearer "
}
`;

/** The query editor of a fresh tab. */
export const defaultQuery = `# Ctrl-Space completes, Ctrl-Enter runs.
# The book on the left is the schema's documentation.

`;

// A paragraph is one line: the editor wraps it.
const signIn = `# 1 · SIGN IN
#
# ▶ offers the operations; Ctrl-Enter runs the one that the cursor is in.
#
# Login mails a code. Without a mail server it is in the server's log and in data/outbox. Put it into the variables below and run VerifyOtp. The code is good with the challenge that Login answers: where the variable is empty, this page sends the last one.
#
# The accessToken that you get signs requests. In the next tabs, "Headers" below takes it:
#
#   { "Authorization": "Bearer <accessToken>" }
#
# A chat needs two: sign in a second address as well.

mutation Login($email: String!) {
  login(input: { email: $email }) {
    challenge
    codeLength
    expiresIn
    resendAfter
  }
}

mutation VerifyOtp($challenge: String!, $code: String!) {
  verifyOtp(input: { challenge: $challenge, code: $code }) {
    user {
      id
      name
    }
    accessToken
    expiresAt
    refreshToken
  }
}
`;

const chat = `# 2 · CHAT
#
# Headers: the first user's accessToken.
#
# Users shows the other one's id. Put it into the variables and run StartChat; put the chat's id there and run SendMessage. Sending a clientMessageId again is safe: the answer is the first message.

query Users {
  me {
    name
  }
  users(first: 20) {
    nodes {
      id
      name
    }
  }
}

mutation StartChat($userId: ID!) {
  startChat(input: { userId: $userId }) {
    chat {
      id
      title
    }
    created
  }
}

mutation SendMessage(
  $chatId: ID!
  $text: String!
  $clientMessageId: String
) {
  sendMessage(
    input: {
      chatId: $chatId
      text: $text
      clientMessageId: $clientMessageId
    }
  ) {
    edge {
      cursor
      node {
        seq
        text
        createdAt
      }
    }
  }
}
`;

const live = `# 3 · LIVE
#
# Headers: the second user's accessToken.
# Variables: the chat's id.
#
# MessageAdded waits for messages. GraphiQL stops it when you change tabs: send from a second window. Or stop it, send, and start it again with "after": the cursor of the last message that you saw. What you missed comes first, then what is new. History has the cursors.

subscription MessageAdded($chatId: ID!, $after: String) {
  messageAdded(chatId: $chatId, after: $after) {
    cursor
    node {
      seq
      text
      sender {
        name
      }
    }
  }
}

query History($chatId: ID!) {
  chat(id: $chatId) {
    unreadCount
    messages(last: 20) {
      edges {
        cursor
        node {
          seq
          text
          sender {
            name
          }
        }
      }
    }
  }
}
`;

const json = (value) => JSON.stringify(value, null, 2);

export const defaultTabs = [
  {
    query: signIn,
    variables: json({ email: 'ada@example.org', challenge: '', code: '' }),
    headers: defaultHeaders,
  },
  {
    query: chat,
    variables: json({ userId: 'usr_', chatId: 'cht_', text: 'Hi', clientMessageId: '1' }),
    headers: defaultHeaders,
  },
  {
    query: live,
    variables: json({ chatId: 'cht_', after: null }),
    headers: defaultHeaders,
  },
];
