// Pages of one dialog, of which one is shown.
import type { ReactNode } from 'react';
import { Tab, TabList, TabPanel, Tabs } from 'react-aria-components';

export interface TabbedPage {
  readonly id: string;
  readonly title: string;
  readonly content: ReactNode;
}

/** The first of the pages is shown until another one is chosen. */
export const TabbedPages = ({ label, pages }: { label: string; pages: readonly TabbedPage[] }) => (
  <Tabs className="tabs">
    <TabList className="tab-list" aria-label={label} items={pages}>
      {({ title }) => <Tab>{title}</Tab>}
    </TabList>
    {pages.map(({ id, content }) => (
      <TabPanel key={id} id={id} className="tab-panel">
        {content}
      </TabPanel>
    ))}
  </Tabs>
);
