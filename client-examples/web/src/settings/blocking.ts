// Whether the viewer has blocked somebody.
import { useEffect, useState } from 'react';

import { BlockStateDocument, BlockUserDocument, UnblockUserDocument } from '../generated/graphql.js';
import { useFeature } from '../session/features.js';
import { useAccount } from '../ui/parts.js';

export function useBlocked(userId: string | undefined) {
  const { connection, changes } = useAccount();
  const isThere = useFeature('blocking');
  const [isBlocked, setBlocked] = useState(false);
  useEffect(() => {
    setBlocked(false);
    if (!isThere || !userId) return;
    let isOver = false;
    const ask = () =>
      connection.query(BlockStateDocument, { userId }).then(
        ({ node }) => isOver || setBlocked(node?.__typename === 'User' && node.isBlockedByViewer),
        () => {},
      );
    void ask();
    // Blocks of another device are told as a change of the viewer.
    const stop = changes.listen(({ viewer }) => void (viewer && ask()));
    return () => {
      isOver = true;
      stop();
    };
  }, [connection, changes, isThere, userId]);
  return {
    isBlocked,
    set: async (isOn: boolean) => {
      if (!userId) return;
      const { user } = isOn
        ? ((await connection.mutate(BlockUserDocument, { userId })).blockUser ?? {})
        : ((await connection.mutate(UnblockUserDocument, { userId })).unblockUser ?? {});
      if (user) setBlocked(user.isBlockedByViewer);
    },
  };
}
