def unfinished(:  # expect: FSE406
