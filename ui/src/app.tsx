/** Which page an address shows, and whether we may show any. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, type ReactNode } from "react";
import { Link, Redirect, Route, Switch, useLocation, useSearch } from "wouter";
import { api, onSignedOut, type Session, type Settings as Values } from "./api";
import { inZone } from "./format";
import { useTitle } from "./hooks";
import { useLive } from "./live";
import { older } from "./older";
import { AccountPage } from "./pages/Account";
import { Accounts } from "./pages/Accounts";
import { CallPage } from "./pages/Call";
import { Calls } from "./pages/Calls";
import { Diagnostics } from "./pages/Diagnostics";
import { Insights } from "./pages/Insights";
import { Keys } from "./pages/Keys";
import { Overview } from "./pages/Overview";
import { Requests } from "./pages/Requests";
import { Settings } from "./pages/Settings";
import { SignIn } from "./pages/SignIn";
import { ThreadPage } from "./pages/Thread";
import { Threads } from "./pages/Threads";
import { Trends } from "./pages/Trends";
import { Guarded } from "./parts/Broken";
import { Shell } from "./parts/Shell";
import { Empty } from "./parts/States";
import { follow, t, useLanguage } from "./words";

export function App() {
  const client = useQueryClient();
  useEffect(() => {
    onSignedOut.call = () => void client.invalidateQueries({ queryKey: ["session"] });
  }, [client]);
  const session = useQuery({
    queryKey: ["session"],
    queryFn: ({ signal }) => api<Session>("/api/session", { signal }),
    // Until the server answers there is nothing to show, so keep asking.
    refetchInterval: ({ state }) => (state.data ? false : 3_000),
  });
  if (session.data) {
    const { required, authenticated, totpRequired } = session.data;
    return (required && !authenticated) || totpRequired ? (
      <SignIn session={session.data} />
    ) : (
      <Inside canSignOut={required} />
    );
  }
  return session.isError ? <Away retry={() => void session.refetch()} /> : null;
}

function Away({ retry }: { retry: () => void }) {
  useTitle(t("away.title"));
  return (
    <main className="gate">
      <div className="card" role="alert">
        <h1>{t("away.title")}</h1>
        <p className="note">{t("away.text")}</p>
        <button type="button" className="primary" onClick={retry}>
          {t("do.retry")}
        </button>
      </div>
    </main>
  );
}

function Inside({ canSignOut }: { canSignOut: boolean }) {
  const { live, away } = useLive();
  const language = useLanguage();
  const [at] = useLocation();
  const chosen = useQuery({
    queryKey: ["settings"],
    queryFn: ({ signal }) => api<Values>("/api/settings", { signal }),
    meta: { topics: ["settings"] },
  }).data?.language;
  useEffect(() => {
    if (typeof chosen === "string") follow(chosen);
  }, [chosen]);
  const zone = live?.zone ?? "";
  inZone(zone);
  // Drawn anew in another language or zone: words and times are looked up while drawing.
  return (
    <Shell key={`${language} ${zone}`} live={live} away={away} canSignOut={canSignOut}>
      <Guarded at={at}>
        <Switch>
          <Route path="/" component={Home} />
          <Route path="/accounts" component={Accounts} />
          <Route path="/accounts/:id">{({ id }) => named(id, (one) => <AccountPage key={one} id={one} />)}</Route>
          <Route path="/requests" component={Requests} />
          <Route path="/keys" component={Keys} />
          <Route path="/calls" component={Calls} />
          <Route path="/calls/:id">{({ id }) => named(id, (one) => <CallPage id={one} />)}</Route>
          <Route path="/dashboard.html" component={Older} />
          <Route path="/trends" component={Trends} />
          <Route path="/insights" component={Insights} />
          <Route path="/threads" component={Threads} />
          <Route path="/threads/:id">{({ id }) => named(id, (one) => <ThreadPage key={one} id={one} />)}</Route>
          <Route path="/diagnostics" component={Diagnostics} />
          <Route path="/settings" component={Settings} />
          <Route component={Nothing} />
        </Switch>
      </Guarded>
    </Shell>
  );
}

/** What an address names; an id that was cut or mistyped into no text at all names nothing. */
function named(id: string, draw: (id: string) => ReactNode) {
  try {
    return draw(decodeURIComponent(id));
  } catch {
    return <Nothing />;
  }
}

/** The usage tracker's pages lay at the root too. */
function Home() {
  return new URLSearchParams(useSearch()).has("view") ? <Older /> : <Overview />;
}

/** An address of the usage tracker's dashboard, which others may have kept. */
function Older() {
  return <Redirect to={older(useSearch())} replace />;
}

function Nothing() {
  useTitle(t("notfound.title"));
  return (
    <>
      <header>
        <h1>{t("notfound.title")}</h1>
      </header>
      <section className="card">
        <Empty
          title={t("notfound.text")}
          action={
            <Link href="/" className="button">
              {t("notfound.home")}
            </Link>
          }
        />
      </section>
    </>
  );
}
