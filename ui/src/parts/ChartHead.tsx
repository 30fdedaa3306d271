/** The head of a chart: its title, where its numbers come from, its table twin and its CSV. */
import { t } from "../words";

interface Props {
  title: string;
  source: string;
  table: boolean;
  show: (table: boolean) => void;
  save: () => void;
}

export function ChartHead({ title, source, table, show, save }: Props) {
  return (
    <div className="card-head">
      <h2>{title}</h2>
      <span className="tools">
        <span className="chip" title={source}>{source}</span>
        <button type="button" className="quiet" onClick={() => show(!table)}>
          {t(table ? "do.chart" : "do.table")}
        </button>
        <button type="button" className="quiet" onClick={save}>
          {t("do.csv")}
        </button>
      </span>
    </div>
  );
}
