mkdir small
touch small/notes
eckart lora resize style -o small --rank 3 --force
