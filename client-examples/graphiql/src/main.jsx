import './monaco.js';
// The parts' own styles: `graphiql/style.css` has Monaco's as well, which come with Monaco.
import '@graphiql/react/style.css';
import '@graphiql/plugin-doc-explorer/style.css';
import '@graphiql/plugin-history/style.css';
import 'graphiql/graphiql.css';
import './style.css';

import { GraphiQL } from 'graphiql';
import { createRoot } from 'react-dom/client';

import { fetcher } from './fetcher.js';
import { handed, passing } from './handed.js';
import { storage } from './storage.js';
import { defaultHeaders, defaultQuery, defaultTabs } from './tabs.js';

const given = await handed();
const tabs = given ? given.tabs.map((tab) => ({ ...tab, headers: given.headers })) : defaultTabs;

// GraphiQL keeps its tabs in the browser. Of the default ones it shows the first one's variables and
// headers only where they are given here too.
const isFirstVisit = given !== null || localStorage.getItem('graphiql:tabState') === null;

createRoot(document.getElementById('root')).render(
  <GraphiQL
    fetcher={fetcher}
    storage={storage(given ? passing() : window.localStorage)}
    defaultTabs={tabs}
    defaultQuery={defaultQuery}
    defaultHeaders={given ? given.headers : defaultHeaders}
    initialVariables={isFirstVisit ? tabs[0].variables : undefined}
    initialHeaders={given ? given.headers : undefined}
    defaultEditorToolsVisibility="variables"
  >
    <GraphiQL.Logo>Talksy</GraphiQL.Logo>
  </GraphiQL>,
);
