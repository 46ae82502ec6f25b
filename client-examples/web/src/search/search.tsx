// Finds messages by their words, and opens the chat where one is.
import { useState } from 'react';
import { Button, Input, Label, SearchField } from 'react-aria-components';

import { previewOf } from '../chat/preview.js';
import { SearchMessagesDocument } from '../generated/graphql.js';
import { usePages } from '../settings/pages.js';
import { shownName } from '../ui/names.js';
import { Name, Problem, shortTimeOf, useAccount, useRested } from '../ui/parts.js';
import { openAt } from '../ui/route.js';

interface SearchProps {
  /** What to look for; undefined where it is typed here. */
  readonly words?: string;
  /** Only in this chat. */
  readonly chatId?: string;
  readonly onDone: () => void;
}

export default function Search({ words, chatId, onDone }: SearchProps) {
  const [typed, setTyped] = useState('');
  const wanted = useRested((words ?? typed).trim().slice(0, 200), 400);
  return (
    <div className="details">
      {words === undefined && (
        <SearchField value={typed} onChange={setTyped} autoFocus>
          <Label>Words</Label>
          <Input placeholder="All words, the last one from its beginning" />
        </SearchField>
      )}
      {wanted !== '' && <Found key={wanted} words={wanted} chatId={chatId ?? null} onDone={onDone} />}
    </div>
  );
}

function Found({ words, chatId, onDone }: { words: string; chatId: string | null; onDone: () => void }) {
  const { connection, userId } = useAccount();
  const { nodes, problem, more } = usePages(`${chatId} ${words}`, async (after) => {
    // A page may be empty while there is more, where the server has looked at as much as one may cost.
    for (let tries = 1; ; tries += 1) {
      const variables = { query: words, chatId, after };
      const page = (await connection.query(SearchMessagesDocument, variables)).searchMessages ?? null;
      if (!page?.pageInfo.hasNextPage || page.nodes.length > 0 || tries === 4) return page;
      after = page.pageInfo.endCursor ?? null;
    }
  });
  return (
    <>
      <Problem text={problem} />
      <ul className="results" aria-label="Messages found">
        {(nodes ?? []).map((message) => (
          <li key={message.id}>
            <Button
              className="result"
              onPress={() => {
                openAt({ chatId: message.chat.id, seq: message.seq, cursor: message.cursor });
                onDone();
              }}
            >
              <span className="line">
                <span className="name">
                  <Name of={message.sender} />
                  {chatId === null && message.chat.kind === 'GROUP' && (
                    <span className="quiet"> in {`\u2068${shownName(message.chat.title)}\u2069`}</span>
                  )}
                </span>
                <time dateTime={message.createdAt}>{shortTimeOf(message.createdAt)}</time>
              </span>
              <Marked text={excerptOf(previewOf(message, userId), words)} words={words} />
            </Button>
          </li>
        ))}
      </ul>
      {nodes?.length === 0 && !more && <p className="quiet">No message has these words.</p>}
      {more && (
        <Button className="secondary" onPress={more}>
          Show more
        </Button>
      )}
    </>
  );
}

const plain = (text: string) => text.normalize('NFKD').replace(/\p{Mn}/gu, '').toLocaleLowerCase();

/** The part of a text where the first of the words is. */
export function excerptOf(text: string, words: string): string {
  const lower = text.toLocaleLowerCase();
  const places = words.toLocaleLowerCase().split(/\s+/u).map((word) => lower.indexOf(word));
  const at = Math.min(...places.filter((place) => place >= 0));
  if (!Number.isFinite(at) || at < 60) return text.slice(0, 200);
  return `… ${text.slice(at - 40, at + 160)}`;
}

/** A text with the words that were looked for set off. */
function Marked({ text, words }: { text: string; words: string }) {
  const wanted = words.split(/\s+/u).map(plain).filter(Boolean);
  return (
    <bdi>
      {text.split(/([\p{L}\p{N}\p{M}]+)/u).map((part, at) =>
        at % 2 === 1 && wanted.some((word) => plain(part).startsWith(word)) ? <mark key={at}>{part}</mark> : part,
      )}
    </bdi>
  );
}
