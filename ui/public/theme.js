// The chosen theme must be on <html> before the first paint; src/theme.ts changes it later.
try {
  var theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage can be switched off; then the system decides.
}
