import { useTitle } from "../hooks";
import { t } from "../words";

export function Accounts() {
  useTitle(t("nav.accounts"));
  return (
    <header>
      <h1>{t("nav.accounts")}</h1>
    </header>
  );
}
