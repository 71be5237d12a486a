PAGES = "pages"
