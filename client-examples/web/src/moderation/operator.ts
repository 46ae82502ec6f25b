// Whether the viewer is one of those who run the server.
import { useEffect, useState } from 'react';

import { IsOperatorDocument } from '../generated/graphql.js';
import { useFeature } from '../session/features.js';
import { useAccount } from '../ui/parts.js';

export function useOperator(): boolean {
  const { connection } = useAccount();
  const isThere = useFeature('moderation');
  const [isOperator, setOperator] = useState(false);
  useEffect(() => {
    if (!isThere) return setOperator(false);
    let isOver = false;
    connection.query(IsOperatorDocument, {}).then(
      ({ me }) => isOver || setOperator(me?.isOperator === true),
      () => {},
    );
    return () => void (isOver = true);
  }, [connection, isThere]);
  return isOperator;
}
