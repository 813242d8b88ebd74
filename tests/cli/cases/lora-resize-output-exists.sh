mkdir small
touch small/notes
eckart lora resize adapter -o small --rank 3 --force
