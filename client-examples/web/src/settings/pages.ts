// A list that is loaded page by page.
import { useCallback, useEffect, useRef, useState } from 'react';

import { sentenceOf } from '../ui/sentences.js';

export interface PageOf<Node> {
  readonly nodes: readonly Node[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor?: string | null };
}

/** `ask` answers null where there is nothing; it is asked anew when `key` changes. */
export function usePages<Node>(key: string, ask: (after: string | null) => Promise<PageOf<Node> | null>) {
  const [nodes, setNodes] = useState<readonly Node[] | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const turn = useRef(0);
  const asking = useRef(ask);
  asking.current = ask;

  const load = useCallback(async (after: string | null) => {
    const own = (turn.current += 1);
    setProblem(null);
    try {
      const page = await asking.current(after);
      if (own !== turn.current) return;
      const { hasNextPage = false, endCursor = null } = page?.pageInfo ?? {};
      setNodes((known) => [...((after && known) || []), ...(page?.nodes ?? [])]);
      setNext(hasNextPage ? endCursor : null);
    } catch (error) {
      if (own === turn.current) setProblem(sentenceOf(error));
    }
  }, []);

  useEffect(() => {
    setNodes(null);
    setNext(null);
    void load(null);
    return () => void (turn.current += 1);
  }, [load, key]);

  return {
    nodes,
    problem,
    /** Loads the next page; null where there is none. */
    more: next === null ? null : () => void load(next),
    again: () => load(null),
    change: setNodes,
  };
}
