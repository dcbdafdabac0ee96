"""What results files say: the HTML report with its drift section, and the evaluation on labelled images."""
