/** Keeps a fault of one page from taking the whole window: says so, and how to go on. */
import { Component, type ReactNode } from "react";
import { t } from "../words";

interface Props {
  /** Where we are; going elsewhere tries again. */
  at: string;
  children: ReactNode;
}

export class Guarded extends Component<Props, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError() {
    return { broken: true };
  }

  override componentDidUpdate({ at }: Props) {
    if (this.state.broken && at !== this.props.at) this.setState({ broken: false });
  }

  override render() {
    return this.state.broken ? <Broken /> : this.props.children;
  }
}

function Broken() {
  return (
    <>
      <header>
        <h1>{t("broken.title")}</h1>
      </header>
      <section className="card">
        <div className="empty" role="alert">
          <p className="empty-title">{t("broken.text")}</p>
          <div className="empty-action">
            <button type="button" className="primary" onClick={() => location.reload()}>
              {t("broken.reload")}
            </button>
          </div>
        </div>
      </section>
    </>
  );
}
