import { useTitle } from "../hooks";
import { t } from "../words";

export function Requests() {
  useTitle(t("nav.requests"));
  return (
    <header>
      <h1>{t("nav.requests")}</h1>
    </header>
  );
}
