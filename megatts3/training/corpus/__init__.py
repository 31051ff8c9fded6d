"""Speech made by free engines, with exact phone times: sentences, teachers, speakers, and the files they fill."""
